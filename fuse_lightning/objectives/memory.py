"""Cache of losses by prompt."""

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor


class LossMemory:
    """Cache of the latest rows of losses by key; the oldest are dropped.

    Args:
        limit: Most rows kept.
    """

    def __init__(self, limit: int = 100_000) -> None:
        self.limit = limit
        self._rows: dict[Hashable, list[float]] = {}

    def forget(self, gone: Callable[[Any], bool]) -> None:
        """Drops the rows of some keys."""
        self._rows = {key: row for key, row in self._rows.items() if not gone(key)}

    def clear(self) -> None:
        """Drops all rows."""
        self._rows.clear()

    def keep(self, keys: Sequence[Hashable], losses: Tensor) -> None:
        """Stores losses, shape (N, terms)."""
        self._rows.update(zip(keys, losses.tolist(), strict=True))
        while len(self._rows) > self.limit:
            del self._rows[next(iter(self._rows))]

    def recall(self, keys: Sequence[Hashable]) -> tuple[list[int], Tensor]:
        """Mask of the known keys among N, and their losses, shape (known, terms), float32."""
        known = [place for place, key in enumerate(keys) if key in self._rows]
        return known, torch.tensor([self._rows[keys[place]] for place in known])
