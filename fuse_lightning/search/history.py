"""The best prompts of all steps."""

from collections.abc import Mapping, Sequence
from typing import Any

from fuse_lightning.errors import FuseError
from fuse_lightning.search.frontier import Frontier, Scored, State, distinct


class HistorySearch(Frontier):
    """Goes on from the best prompts of all steps, not of the last one.

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
        self.idle: list[int] = []

    def regroup(self, staying: Sequence[int], initial: Sequence[Sequence[State]]) -> None:
        """Changes the batch; the idle steps of new targets count from 0."""
        super().regroup(staying, initial)
        self.idle = [*(self.idle[place] for place in staying), *(0 for _ in initial)]

    def expand(self) -> list[list[State]]:
        """The prompt whose turn it is."""
        return [
            [frontier[idle // self.patience % len(frontier)][1]] if frontier else []
            for frontier, idle in zip(self.frontiers, self.idle, strict=True)
        ]

    def update(self, candidates: Sequence[Sequence[Scored]]) -> None:
        """Takes better candidates into the history."""
        for target, found in enumerate(candidates):
            before = self.frontiers[target]
            if not before:
                continue
            # Until something has a loss, the start is all there is to go on from.
            self.frontiers[target] = distinct([*before, *found])[: self.size] or before
            self.idle[target] = self.idle[target] + 1 if self.frontiers[target] == before else 0

    def target_state(self, target: int) -> dict[str, Any]:
        """History and idle steps."""
        return {**super().target_state(target), "idle": self.idle[target]}

    def restore(self, target: int, state: Mapping[str, Any]) -> None:
        """Takes history and idle steps back."""
        super().restore(target, state)
        self.idle[target] = int(state["idle"])
