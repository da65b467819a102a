"""State of a model between forwards: keys, values and likelihoods of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakSet

import torch
from torch import Tensor

from fuse_lightning.engine.branches import Store
from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.prefixes import Row
from fuse_lightning.engine.row_cache import RowCache


@dataclass
class CachedRows:
    """Keys and values of rows.

    A search reads its prompts step after step, each time a token or two longer: only what is new
    of them is computed.

    Attributes:
        rows: The rows.
        store: Their keys and values.
        inference: Whether they are of inference mode, and of no use where there are gradients.
    """

    rows: Sequence[Row]
    store: Store
    inference: bool


@dataclass
class Continuations:
    """Likelihoods from one forward over R rows: of their tokens, and of every next token.

    Attributes:
        rows: The rows, with their numbers.
        reduced: Whether it ran in the trainer's reduced precision.
        before: -log P of each of their tokens but the first, shape (R, T).
        after: log P of what follows them, shape (R, V).
        kept: Their keys and values, where these may stay.
    """

    rows: dict[Row, int]
    reduced: bool
    before: Tensor
    after: Tensor
    kept: CachedRows | None

    def nll(self, row: Tensor, place: Tensor, token: Tensor) -> Tensor:
        """-log P of M tokens inside rows or right behind them, shape (M,)."""
        lengths = torch.tensor([len(known) for known in self.rows])
        there = partial(to_device, device=self.before.device)
        behind, place = there(place == lengths[row]), place.clamp(max=self.before.shape[1] - 1)
        row, token, place = there(row), there(token), there(place)
        return torch.where(behind, -self.after[row, token], self.before[row, place])


@dataclass
class Remembered:
    """Everything that a model keeps between forwards.

    Attributes:
        rows: Beginnings of the texts of the last :func:`run_vectors`.
        continuations: Results of the last :func:`next_log_probs`.
        generated: Caches of generations that somebody still holds.
    """

    rows: CachedRows | None = None
    continuations: Continuations | None = None
    generated: WeakSet[RowCache] = field(default_factory=WeakSet)

    def clear(self) -> None:
        """Frees everything."""
        self.rows = self.continuations = None
        for cache in self.generated:
            cache.clear()
