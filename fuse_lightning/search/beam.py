"""Beam search, and greedy search as its narrowest form."""

from collections.abc import Sequence

from fuse_lightning.errors import FuseError
from fuse_lightning.search.frontier import Frontier, Scored, State, distinct


class BeamSearch(Frontier):
    """Keeps the best distinct candidates of each step; every one of them is expanded next.

    Args:
        beam_width: Prompts kept for each target.
    """

    def __init__(self, beam_width: int = 4) -> None:
        if beam_width < 1:
            raise FuseError(f"beam_width is {beam_width}; it must be at least 1")
        super().__init__()
        self.beam_width = beam_width

    def expand(self) -> list[list[State]]:
        """The whole beam."""
        return [[state for _, state in frontier] for frontier in self.frontiers]

    def update(self, candidates: Sequence[Sequence[Scored]]) -> None:
        """Replaces each beam by the best candidates."""
        self.frontiers = [distinct(found)[: self.beam_width] for found in candidates]


class GreedySearch(BeamSearch):
    """Keeps the best candidate of each step."""

    def __init__(self) -> None:
        super().__init__(beam_width=1)
