"""Uniform-cost search."""

from collections.abc import Mapping, Sequence
from typing import Any

from fuse_lightning.errors import FuseError
from fuse_lightning.search.frontier import Frontier, Scored, State, distinct, ids_of


class UniformCostSearch(Frontier):
    """Expands the cheapest prompt met so far; one priority queue for each target.

    A prompt is expanded at most once.

    Args:
        frontier_max_size: Prompts kept in each queue.
    """

    def __init__(self, frontier_max_size: int = 32) -> None:
        if frontier_max_size < 1:
            raise FuseError(f"frontier_max_size is {frontier_max_size}; it must be at least 1")
        super().__init__()
        self.frontier_max_size = frontier_max_size
        self.expanded: list[set[State]] = []

    def regroup(self, staying: Sequence[int], initial: Sequence[Sequence[State]]) -> None:
        """Changes the batch; of new targets nothing is expanded."""
        super().regroup(staying, initial)
        self.expanded = [*(self.expanded[place] for place in staying), *(set() for _ in initial)]

    def expand(self) -> list[list[State]]:
        """Takes the cheapest prompt out of each queue."""
        taken: list[list[State]] = []
        for frontier, expanded in zip(self.frontiers, self.expanded, strict=True):
            cheapest = [frontier.pop(0)[1]] if frontier else []
            expanded.update(cheapest)
            taken.append(cheapest)
        return taken

    def update(self, candidates: Sequence[Sequence[Scored]]) -> None:
        """Puts new prompts into the queues and keeps the cheapest."""
        self.frontiers = [
            distinct([*frontier, *(item for item in found if item[1] not in expanded)])[
                : self.frontier_max_size
            ]
            for frontier, expanded, found in zip(
                self.frontiers, self.expanded, candidates, strict=True
            )
        ]

    def target_state(self, target: int) -> dict[str, Any]:
        """Queue and expanded prompts."""
        expanded = sorted(list(state) for state in self.expanded[target])
        return {**super().target_state(target), "expanded": expanded}

    def restore(self, target: int, state: Mapping[str, Any]) -> None:
        """Takes queue and expanded prompts back."""
        super().restore(target, state)
        self.expanded[target] = {ids_of(row) for row in state["expanded"]}
