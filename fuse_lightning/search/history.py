"""History search: a frontier of the best prompts of all steps."""

from collections.abc import Sequence
from typing import Any

from fuse_lightning.errors import FuseError
from fuse_lightning.search.frontier import Frontier, Scored, StateT, distinct


class HistorySearch(Frontier[StateT]):
    """Frontier of the best prompts of all steps, expanded in turn.

    The best is expanded again and again: optimizers that draw at random propose new candidates
    each time. When ``patience`` steps brought nothing new into the history, the next best takes
    its turn, and so on.

    Args:
        size: Prompts kept for each target.
        patience: Steps without a new prompt in the history before the next one is expanded.
    """

    def __init__(self, size: int = 8, patience: int = 10) -> None:
        for name, value in (("size", size), ("patience", patience)):
            if value < 1:
                raise FuseError(f"{name} is {value}; it must be at least 1")
        super().__init__()
        self.size = size
        self.patience = patience

    def begin_own(self) -> dict[str, Any]:
        """Number of steps without a new prompt in the history."""
        return {"idle": 0}

    def expand(self) -> list[list[StateT]]:
        """Next prompt of each target."""
        return [
            [frontier[own["idle"] // self.patience % len(frontier)][1]] if frontier else []
            for frontier, own in zip(self.frontiers, self.own, strict=True)
        ]

    def enter(self, target: int, scored: Sequence[Scored[StateT]]) -> None:
        """Takes the best start states of a target."""
        self.frontiers[target] = distinct(scored)[: self.size] or [*scored][:1]

    def update(self, candidates: Sequence[Sequence[Scored[StateT]]]) -> None:
        """Takes better candidates into the history."""
        for target, found in enumerate(candidates):
            before = self.frontiers[target]
            if not before:
                continue
            # Until something has a loss, the start is all there is to go on from.
            self.frontiers[target] = distinct([*before, *found])[: self.size] or before
            own = self.own[target]
            own["idle"] = own["idle"] + 1 if self.frontiers[target] == before else 0
