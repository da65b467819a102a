"""Beam search and greedy search."""

from collections.abc import Sequence

from fuse_lightning.errors import FuseError
from fuse_lightning.search.frontier import Frontier, Scored, StateT, distinct


class BeamSearch(Frontier[StateT]):
    """Frontier of the best distinct candidates of a step; the next step expands all of them.

    Args:
        beam_width: Prompts kept for each target.
    """

    compares = False

    def __init__(self, beam_width: int = 4) -> None:
        if beam_width < 1:
            raise FuseError(f"beam_width is {beam_width}; it must be at least 1")
        super().__init__()
        self.beam_width = beam_width

    def expand(self) -> list[list[StateT]]:
        """The whole beam of each target."""
        return [[state for _, state in frontier] for frontier in self.frontiers]

    def enter(self, target: int, scored: Sequence[Scored[StateT]]) -> None:
        """Takes the best start states of a target."""
        self.frontiers[target] = distinct(scored)[: self.beam_width] or [*scored][:1]

    def update(self, candidates: Sequence[Sequence[Scored[StateT]]]) -> None:
        """Replaces each beam by the best candidates."""
        self.frontiers = [distinct(found)[: self.beam_width] for found in candidates]


class GreedySearch(BeamSearch[StateT]):
    """Frontier of the best candidate of a step."""

    def __init__(self) -> None:
        super().__init__(beam_width=1)
