"""Readers of all streams: log-probabilities of the next token by each, row by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div

from fuse_lightning.decoding.contrast import NAMES, log_softmax_common
from fuse_lightning.decoding.reader import Reader, Source
from fuse_lightning.errors import FuseError

Row = tuple[int, ...]
SPARED = 1.25
"""Most positions of a joint batch, as a multiple of those of its parts: padding costs as well."""


@dataclass(frozen=True, eq=False)
class StreamNetwork:
    """Network of one stream, and how the stream reads with it.

    Attributes:
        network: Causal language model of transformers.
        layers: Early layers that the stream takes in place of the last one, counted as in
            ``hidden_states``; empty for the last. Of several each row takes the one whose
            distribution differs most from that of the last layer, see :func:`furthest`.
        temperature: Divisor of the stream's logits.
        adapted: Whether the layers of a PEFT adapter act, if the network has any.
        pads_left: Whether the network reads rows padded on the left as it reads them alone.
            Without it all rows of one batch must have one length.
    """

    network: nn.Module
    layers: tuple[int, ...] = ()
    temperature: float = 1.0
    adapted: bool = True
    pads_left: bool = True


class Readers:
    """Readers of S streams over N texts that grow together.

    Streams of one network go into one batch where little is padded. A stream that reads the rows
    of another one, at another layer, costs only a product with the head.

    Args:
        streams: The streams.
        rows: For each stream the ids before each text.
        pad_id: Id of padding, which nothing sees.

    Raises:
        FuseError: If a row has no token, or rows of different lengths belong to a network that
            reads no padding.
    """

    def __init__(
        self, streams: Sequence[StreamNetwork], rows: Sequence[Sequence[Row]], pad_id: int = 0
    ) -> None:
        self.streams = streams
        _check(streams, rows)
        # What is alike in all streams, such as several samples of a prompt, is read once.
        first: dict[tuple[Row, ...], int] = {}
        of = [first.setdefault(each, len(first)) for each in zip(*rows, strict=True)]
        self.count = len(first)
        self._pad_id = pad_id
        self._batches = _join(streams, [*zip(*first, strict=True)])
        self._readers = [self._begin(batch) for batch in self._batches]
        if len(of) > len(first):
            self.select(torch.tensor(of))

    def _begin(self, batch: _Batch) -> Reader:
        width = max(len(row) for block in batch.blocks for row in block)
        padded = [
            [self._pad_id] * (width - len(row)) + [*row] for block in batch.blocks for row in block
        ]
        lengths = torch.tensor([len(row) for block in batch.blocks for row in block])
        mask = torch.arange(width) >= width - lengths[:, None]
        first = self.streams[batch.members[0][0]]
        return Reader(
            Source(first.network, batch.layers, first.adapted), torch.tensor(padded), mask
        )

    def step(self, tokens: Tensor) -> None:
        """Reads one more token of each text, shape (N,), in all streams.

        On devices that work ahead all forwards are begun before any is waited for.
        """
        for batch, reader in zip(self._batches, self._readers, strict=True):
            reader.step(tokens.repeat(len(batch.blocks)))

    def select(self, texts: Tensor) -> None:
        """Keeps some texts, in a new order; a text may come several times.

        Args:
            texts: Numbers of the texts, shape (M,).
        """
        for batch, reader in zip(self._batches, self._readers, strict=True):
            begins = torch.arange(len(batch.blocks), device=texts.device)[:, None] * self.count
            reader.select((begins + texts).flatten())
        self.count = len(texts)

    def logits(self) -> list[Tensor]:
        """Logits of the next token by each stream, each of shape (N, W) for its own W."""
        found: dict[int, Tensor] = {}
        for batch, reader in zip(self._batches, self._readers, strict=True):
            for stream, block in batch.members:
                rows = reader.logits[block * self.count : (block + 1) * self.count].float()
                layers = self.streams[stream].layers
                early = [1 + batch.layers.index(layer) for layer in layers]
                logits = furthest(rows[:, early], rows[:, 0]) if early else rows[:, 0]
                temperature = self.streams[stream].temperature
                found[stream] = logits if temperature == 1 else logits / temperature
        return [found[stream] for stream in range(len(self.streams))]

    def log_probs(self) -> Tensor:
        """Log-probabilities of the next token (nats), shape (S, N, V), float32."""
        return log_softmax_common(self.logits())


@dataclass
class _Batch:
    """Rows that one network reads together, block by block.

    ``members`` holds for each stream its number and that of its block.
    """

    blocks: list[tuple[Row, ...]]
    members: list[tuple[int, int]]
    layers: tuple[int, ...] = ()

    def takes(self, block: tuple[Row, ...], pads_left: bool) -> bool:
        """Whether a block can join without much padding."""
        lengths = [len(row) for each in (*self.blocks, block) for row in each]
        if not pads_left:
            return min(lengths) == max(lengths)
        parts = [max(map(len, each)) * len(each) for each in (*self.blocks, block)]
        return max(lengths) * len(lengths) <= SPARED * sum(parts)


def _check(streams: Sequence[StreamNetwork], rows: Sequence[Sequence[Row]]) -> None:
    for name, stream, given in zip(NAMES, streams, rows, strict=False):
        lengths = [len(row) for row in given]
        if 0 in lengths:
            raise FuseError(
                f"stream {name} has no token before text {lengths.index(0)}; begin it with one, "
                "such as the begin token"
            )
        if not stream.pads_left and len({*lengths}) > 1:
            raise FuseError(
                f"rows of stream {name} have from {min(lengths)} to {max(lengths)} tokens, and its "
                "network reads no padding on the left; read rows of one length together"
            )


def _join(streams: Sequence[StreamNetwork], rows: Sequence[Sequence[Row]]) -> list[_Batch]:
    """Batches of streams that read with one network."""
    found: list[tuple[tuple[int, bool], _Batch]] = []
    for number, (stream, given) in enumerate(zip(streams, rows, strict=True)):
        key, block = (id(stream.network), stream.adapted), tuple(map(tuple, given))
        for known, batch in found:
            if known == key and (block in batch.blocks or batch.takes(block, stream.pads_left)):
                break
        else:
            batch = _Batch([], [])
            found.append((key, batch))
        if block not in batch.blocks:
            batch.blocks.append(block)
        batch.members.append((number, batch.blocks.index(block)))
        batch.layers = tuple(dict.fromkeys((*batch.layers, *stream.layers)))
    return [batch for _, batch in found]


def furthest(early: Tensor, last: Tensor) -> Tensor:
    """Logits of the early layer that differs most from the last one, row by row.

    The measure is that of the published code of arXiv 2309.03883: the mean of KL(M || early) and
    KL(M || last), M being the mean of the two distributions.

    Args:
        early: Logits of L layers, shape (N, L, V).
        last: Logits of the last layer, shape (N, V).

    Returns:
        Shape (N, V).
    """
    if early.shape[1] == 1:
        return early[:, 0]
    # Minus infinity would make 0 times infinity where M is 0 as well.
    most = torch.finfo(last.dtype).min
    ours = last.log_softmax(-1)[:, None].clamp(min=most)
    theirs = early.log_softmax(-1).clamp(min=most)
    middle = (ours.exp() + theirs.exp()) / 2
    apart = kl_div(ours.expand_as(theirs), middle, reduction="none").sum(-1)
    apart = apart + kl_div(theirs, middle, reduction="none").sum(-1)
    return early[torch.arange(len(early), device=early.device), apart.argmax(1)]
