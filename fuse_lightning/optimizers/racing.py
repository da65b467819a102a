"""Racing: the choice among prompts by paired comparison, examples block by block."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.paired import paired_worse
from fuse_lightning.objectives import Objective, Prompts


@dataclass(frozen=True)
class Racing:
    """Settings of the race of prompts for a place on a target's short list.

    All prompts meet the same examples, block by block. One that is worse than as many others as
    the short list has places, by a paired test, meets no more of them. CAPO (arXiv 2504.16005)
    chooses so.

    Attributes:
        entrants: Candidates of a step that enter, the best on the examples of the step.
        block: Examples between two tests.
        alpha: Level of the one-sided paired t test; 0 drops no prompt.

    Raises:
        FuseError: If one of them is out of its range.
    """

    entrants: int = 4
    block: int = 16
    alpha: float = 0.05

    def __post_init__(self) -> None:
        for name, value, least in (("entrants", self.entrants, 1), ("block", self.block, 2)):
            if value < least:
                raise FuseError(f"racing.{name} is {value}; it must be at least {least}")
        if not 0 <= self.alpha < 1:
            raise FuseError(f"racing.alpha is {self.alpha}; it must be from 0 to below 1")


@dataclass(frozen=True)
class Finish:
    """Prompts at the end of a race, of all targets.

    Attributes:
        rows: Their numbers among those that entered, best first for each target.
        losses: Mean losses over all examples, of each term, shape (rows, terms).
    """

    rows: list[int]
    losses: Tensor


def race(
    objective: Objective,
    prompts: Prompts,
    examples: Sequence[Sequence[int]],
    places: int,
    settings: Racing,
) -> Finish:
    """Races prompts of some targets, and gives those that are beaten by too few others.

    Those at the end have met every example. What is known of a prompt is not computed again.

    Args:
        objective: The objective, which was given the targets.
        prompts: N prompts, each once for its target.
        examples: Numbers of the examples of each target, in the order in which they come.
        places: Prompts of each target that are wanted.
        settings: Settings of the race.
    """
    scores = objective.scores
    columns = [n for n, term in enumerate(objective.terms) if term.examples is not None]
    plain = scores.plain(prompts)
    alive = [*range(len(prompts.owners))]
    met: list[list[Tensor]] = [[] for _ in alive]
    longest = max((len(some) for some in examples), default=0)
    for begin in range(0, longest, settings.block):
        blocks = [some[begin : begin + settings.block] for some in examples]
        running = [row for row in alive if blocks[prompts.owners[row]]]
        part = prompts.select(running)
        asked = [blocks[owner] for owner in part.owners]
        told = [scores.example_losses(n, part, asked) for n in columns]
        sizes = [len(some) for some in asked]
        for row, losses in zip(running, torch.split(torch.stack(told, dim=1), sizes), strict=True):
            met[row].append(losses)
        if begin + settings.block < longest and settings.alpha:
            whole = {row: _totals(objective, plain[row], met[row]) for row in alive}
            alive = _unbeaten(whole, prompts.owners, places, settings.alpha)
    means = plain[alive]
    for place, row in enumerate(alive):
        means[place, columns] = torch.cat(met[row]).mean(0)
    taken = Counter[int]()
    kept = []
    for place in objective.total(means).argsort(stable=True).tolist():
        owner = prompts.owners[alive[place]]
        if taken[owner] < places:
            kept.append(place)
        taken[owner] += 1
    return Finish([alive[place] for place in kept], means[kept])


def _totals(objective: Objective, plain: Tensor, met: Sequence[Tensor]) -> Tensor:
    """Weighted sums of one prompt for each example that it has met, shape (E,), float64."""
    columns = [n for n, term in enumerate(objective.terms) if term.examples is not None]
    losses = plain.repeat(sum(map(len, met)), 1)
    losses[:, columns] = torch.cat([*met])
    return objective.total(losses).double()


def _unbeaten(
    totals: Mapping[int, Tensor], owners: Sequence[int], places: int, alpha: float
) -> list[int]:
    """Rows that fewer than ``places`` others of their target are better than."""
    left = []
    for owner in dict.fromkeys(owners[row] for row in totals):
        rows = [row for row in totals if owners[row] == owner]
        table = torch.stack([totals[row] for row in rows])
        for row in rows:
            beaten = paired_worse(totals[row] - table, alpha)
            if int(beaten.sum()) < places:
                left.append(row)
    return sorted(left)
