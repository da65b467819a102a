"""Batches of token ids: texts of different lengths in one tensor."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from fuse_lightning.engine.devices import to_device


@dataclass
class TokenBatch:
    """Ids of N texts as a model reads them, padded on the right to T tokens.

    Attributes:
        ids: Token ids, shape (N, T).
        mask: True for tokens, false for padding, shape (N, T).
        spans: First and last-plus-one character of each token in its text, shape (N, T, 2);
            empty spans for special tokens and padding.
    """

    ids: Tensor
    mask: Tensor
    spans: Tensor

    def __getitem__(self, rows: slice | Tensor) -> "TokenBatch":
        """Batch of some of the texts, trimmed to the longest of them."""
        width = int(self.mask[rows].any(0).sum())
        return TokenBatch(self.ids[rows, :width], self.mask[rows, :width], self.spans[rows, :width])

    @property
    def rows(self) -> list[tuple[int, ...]]:
        """Ids of each text, without padding."""
        pairs = zip(self.ids.tolist(), self.mask.sum(1).tolist(), strict=True)
        return [tuple(row[:length]) for row, length in pairs]

    def to(self, device: torch.device) -> "TokenBatch":
        """Copy of the batch with ids and mask on ``device``; spans stay on the CPU."""
        return TokenBatch(to_device(self.ids, device), to_device(self.mask, device), self.spans)


def pad(
    rows: Sequence[Sequence[int]],
    spans: Sequence[Sequence[int]] | None,
    pad_id: int,
) -> TokenBatch:
    """Pads rows of different lengths on the right.

    Args:
        rows: Ids.
        spans: First and last-plus-one character of each token, one behind the other.
        pad_id: Id that pads short rows.

    >>> pad([[5, 6], [7]], None, 0).ids
    tensor([[5, 6],
            [7, 0]])
    """
    lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
    width = int(lengths.max()) if len(rows) else 0
    mask = torch.arange(width) < lengths[:, None]
    ids = torch.full(mask.shape, pad_id, dtype=torch.long)
    ids[mask] = torch.tensor([*chain.from_iterable(rows)], dtype=torch.long)
    offsets = torch.zeros(*mask.shape, 2, dtype=torch.long)
    if spans is not None:
        flat = [*chain.from_iterable(spans)]
        offsets[mask] = torch.tensor(flat, dtype=torch.long).view(-1, 2)
    return TokenBatch(ids, mask, offsets)
