"""Beam search and greedy search."""

from collections import Counter
from collections.abc import Collection, Sequence

from fuse_lightning.errors import FuseError
from fuse_lightning.search.frontier import Frontier, Scored, StateT, distinct


class BeamSearch(Frontier[StateT]):
    """Frontier of the best distinct candidates of a step; the next step expands all of them.

    Where prompts grow, a word that pays at once (a colour) crowds out words that pay later (a
    size). ``siblings`` keeps room for the latter: it limits how many extensions of one prompt the
    beam holds, as in arXiv 1611.08562, which lowers the scores of later siblings instead. It has
    no effect where a step replaces tokens.

    Args:
        beam_width: Prompts kept for each target.
        siblings: Most prompts of the beam that extend the same prompt by one token, as long as
            other candidates fill the beam; ``None`` for no limit.
    """

    compares = False

    def __init__(self, beam_width: int = 4, siblings: int | None = None) -> None:
        for name, value in (("beam_width", beam_width), ("siblings", siblings)):
            if value is not None and value < 1:
                raise FuseError(f"{name} is {value}; it must be at least 1")
        super().__init__()
        self.beam_width = beam_width
        self.siblings = siblings

    def expand(self) -> list[list[StateT]]:
        """The whole beam of each target."""
        return [[state for _, state in frontier] for frontier in self.frontiers]

    def enter(self, target: int, scored: Sequence[Scored[StateT]]) -> None:
        """Takes the best start states of a target."""
        self.frontiers[target] = distinct(scored)[: self.beam_width] or [*scored][:1]

    def update(self, candidates: Sequence[Sequence[Scored[StateT]]]) -> None:
        """Replaces each beam by the best candidates."""
        found = map(distinct, candidates)
        if self.siblings is None:
            self.frontiers = [scored[: self.beam_width] for scored in found]
            return
        self.frontiers = [
            mixed(scored, {state for _, state in before}, self.siblings, self.beam_width)
            for scored, before in zip(found, self.frontiers, strict=True)
        ]


def mixed(
    scored: Sequence[Scored[StateT]], parents: Collection[StateT], siblings: int, most: int
) -> list[Scored[StateT]]:
    """Best candidates, with few extensions of one parent as long as others are left.

    >>> scored = [(1.0, (7, 1)), (2.0, (7, 2)), (3.0, (8, 1)), (4.0, (7, 3))]
    >>> mixed(scored, {(7,), (8,)}, siblings=1, most=2)
    [(1.0, (7, 1)), (3.0, (8, 1))]
    >>> mixed(scored, {(7,), (8,)}, siblings=1, most=3)
    [(1.0, (7, 1)), (2.0, (7, 2)), (3.0, (8, 1))]

    Args:
        scored: Distinct candidates, best first; lower losses are better.
        parents: States that the step has expanded.
        siblings: Most extensions of each parent by one token.
        most: How many candidates are wanted.

    Returns:
        At most ``most`` candidates, best first.
    """
    counts: Counter[object] = Counter()
    kept: list[Scored[StateT]] = []
    spare: list[Scored[StateT]] = []
    for loss, state in scored:
        # Only tuples of ids grow; a candidate that is no extension has no siblings.
        parent = state[:-1] if isinstance(state, tuple) else None
        if parent not in parents:
            kept.append((loss, state))
        else:
            counts[parent] += 1
            (kept if counts[parent] <= siblings else spare).append((loss, state))
        if len(kept) == most:
            return kept
    return sorted([*kept, *spare[: most - len(kept)]])


class GreedySearch(BeamSearch[StateT]):
    """Frontier of the best candidate of a step."""

    def __init__(self) -> None:
        super().__init__(beam_width=1)
