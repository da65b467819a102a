"""Ensemble: the streams that write or read one text together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from fuse_lightning.decoding.contrast import NAMES, log_softmax_common
from fuse_lightning.decoding.readers import Readers, Row
from fuse_lightning.decoding.recording import Recording
from fuse_lightning.decoding.stream import Stream, check_same_tokens, common_ids
from fuse_lightning.engine.devices import to_device
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM


class Ensemble:
    """Streams of loaded models with one tokenizer.

    Args:
        streams: The streams A, B and so on. Models that are not loaded yet are loaded.
        pair: Names of the two streams whose divergences are recorded.
        top: How many of the likeliest tokens at each place are recorded; 0 for none.

    Raises:
        FuseError: If the tokenizers differ, or there is no such pair.
    """

    def __init__(self, streams: Sequence[Stream], pair: tuple[str, str], top: int) -> None:
        self.streams = streams
        self.names = NAMES[: len(streams)]
        if not 2 <= len(streams) <= len(NAMES):
            raise FuseError(
                f"there are {len(streams)} streams; give from 2 to {len(NAMES)}, such as a model "
                "and the same one with a prefix"
            )
        if wrong := [name for name in pair if name not in self.names]:
            raise FuseError(
                f"there is no stream {wrong[0]!r} to compare; give two of {', '.join(self.names)}"
            )
        if top < 0:
            raise FuseError(f"top is {top}; give 0 or more tokens to record at each place")
        for stream in streams:
            stream.model.load()
        check_same_tokens(streams)
        self.pair = pair
        self.top = top

    @property
    def model(self) -> CausalLM:
        """Model of stream A, whose tokenizer spells all texts."""
        return self.streams[0].model

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """Ids that end a text: those of any stream."""
        return frozenset(index for stream in self.streams for index in stream.model.end_ids)

    @cached_property
    def allowed(self) -> Tensor:
        """Whether all streams know each id, shape (V,)."""
        known = torch.tensor(common_ids(self.streams))
        mask = torch.zeros(int(known.max()) + 1, dtype=torch.bool)
        mask[known] = True
        return mask

    def recording(self, count: int) -> Recording:
        """Empty records of a number of texts."""
        first, second = (self.names.index(name) for name in self.pair)
        return Recording(count, (first, second), self.top)

    def readers(self, rows: Sequence[Sequence[Row]]) -> Readers:
        """Readers of the streams.

        Args:
            rows: For each stream the ids before each text.
        """
        return Readers([each.network for each in self.streams], rows, self.model.pad_id)

    def log_probs(self, logits: Sequence[Tensor]) -> Tensor:
        """Log-probabilities (nats) among the tokens that all streams know, shape (S, N, V).

        Args:
            logits: Next-token logits by each stream, each of shape (N, W) for its own W.
        """
        width = min(len(self.allowed), *(each.shape[-1] for each in logits))
        known = self.allowed[:width]
        cut = [each[..., :width] for each in logits]
        if not known.all():
            cut = [each.masked_fill(~to_device(known, each.device), -torch.inf) for each in cut]
        return log_softmax_common(cut)

    def room(self, rows: Sequence[Row]) -> int:
        """Most tokens that fit behind the rows of one text, one row for each stream."""
        return min(
            stream.model.max_tokens - len(row)
            for stream, row in zip(self.streams, rows, strict=True)
        )
