"""Uniform-cost search: a frontier that expands the cheapest prompt so far."""

from collections.abc import Sequence
from typing import Any

from fuse_lightning.errors import FuseError
from fuse_lightning.search.frontier import Frontier, Scored, StateT, distinct


class UniformCostSearch(Frontier[StateT]):
    """Frontier as a priority queue: each step expands the cheapest prompt so far.

    A prompt is expanded at most once.

    Args:
        frontier_max_size: Prompts kept in each queue.
    """

    def __init__(self, frontier_max_size: int = 32) -> None:
        if frontier_max_size < 1:
            raise FuseError(f"frontier_max_size is {frontier_max_size}; it must be at least 1")
        super().__init__()
        self.frontier_max_size = frontier_max_size

    def begin_own(self) -> dict[str, Any]:
        """Expanded prompts, as keys of a dictionary, which keeps their order in checkpoints."""
        return {"expanded": {}}

    def enter(self, target: int, scored: Sequence[Scored[StateT]]) -> None:
        """Takes the cheapest start states of a target into its queue, the cheapest first."""
        self.frontiers[target] = distinct(scored)[: self.frontier_max_size] or [*scored][:1]

    def expand(self) -> list[list[StateT]]:
        """Takes the cheapest prompt from each queue."""
        taken: list[list[StateT]] = []
        for frontier, own in zip(self.frontiers, self.own, strict=True):
            cheapest = [frontier.pop(0)[1]] if frontier else []
            own["expanded"].update(dict.fromkeys(cheapest))
            taken.append(cheapest)
        return taken

    def update(self, candidates: Sequence[Sequence[Scored[StateT]]]) -> None:
        """Adds new prompts to the queues, and keeps the cheapest."""
        self.frontiers = [
            distinct([*frontier, *(item for item in found if item[1] not in own["expanded"])])[
                : self.frontier_max_size
            ]
            for frontier, own, found in zip(self.frontiers, self.own, candidates, strict=True)
        ]
