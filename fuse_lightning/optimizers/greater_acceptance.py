"""Acceptance of scored candidates by GReaTer: what a frontier may go on from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from fuse_lightning.objectives import State
from fuse_lightning.optimizers.greater_options import GreaterOptions
from fuse_lightning.optimizers.greater_positions import Positions, Slot
from fuse_lightning.search import Scored, TargetSearch

BEGUN = "begun"
"""Name of the length of a target's first prompt in its search's own data."""


@dataclass(frozen=True)
class Acceptance:
    """Rules about candidates that are taken, or kept out, whatever the losses of the others.

    Attributes:
        options: Which of the rules hold.
        positions: Order of positions, which tells where sentences end.
        steps: Most steps of a target, over which annealing cools down.
    """

    options: GreaterOptions
    positions: Positions
    steps: int

    def taken(
        self,
        search: TargetSearch[State],
        scored: Sequence[Scored[State]],
        shortlists: Mapping[Slot, Sequence[State]],
    ) -> list[Scored[State]]:
        """Candidates of one target that its frontier may go on from, with their losses.

        Args:
            search: The target's search.
            scored: All that was scored, with losses.
            shortlists: Candidates of each position that was changed, the most promising first.
        """
        losses = {state: loss for loss, state in scored}
        gone: set[State] = set()
        for slot, found in shortlists.items():
            children = [state for state in found if losses.get(state, math.inf) < math.inf]
            begun = search.own.setdefault(BEGUN, len(slot.state))
            if self.options.force_ends and slot.place >= begun / 2:
                for child in filter(self.positions.ends_at(slot.place), children):
                    return [(losses[child], child)]
            if self.options.anneal and children and slot.state in losses:
                least = min(losses[state] for state in children)
                if self._accepts(search, least - losses[slot.state]):
                    gone.add(slot.state)
        return [(loss, state) for loss, state in scored if state not in gone]

    def _accepts(self, search: TargetSearch[State], worse: float) -> bool:
        """Whether annealing takes a candidate that is worse by so much."""
        drawn = float(torch.rand((), generator=search.generator))
        warmth = 1 - search.step / (self.steps + 1)
        return worse < 0 or drawn <= math.exp(-worse / warmth)


def check_begun(search: TargetSearch[State]) -> None:
    """Checks the length of the first prompt in a checkpoint.

    Raises:
        TypeError: If it is none.
    """
    begun = search.own.get(BEGUN, 0)
    if type(begun) is not int or begun < 0:
        raise TypeError("the length of the first prompt is no count")
