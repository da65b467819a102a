"""Races: whether they choose the prompt that full scoring chooses, and at which price."""

from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from torch import Tensor

from benchmarks.classification.pages import write_section
from benchmarks.classification.race_sets import Plan, Told, chosen, losses
from benchmarks.classification.tasks import Task
from benchmarks.machine import table
from fuse_lightning.optimizers.racing import Racing

TUNED, REPORTED = 4000, 5000
"""First seeds of the sets by which settings are chosen, and of those that report."""
ALPHAS = (0.01, 0.02, 0.05, 0.07, 0.1, 0.2)
BLOCKS = (4, 8, 12, 16, 20, 32)
AGREEMENT = 0.95
"""Share of the sets in which a good race chooses what full scoring chooses."""


class Measured(NamedTuple):
    """Races of some settings over several sets.

    Attributes:
        same: Number of sets with the choice of full scoring.
        share: Mean evaluations as a share of full scoring.
        gap: Largest difference to the loss of the best prompt, in nats.
    """

    same: int
    share: float
    gap: float


def whole(told: Told, settings: Racing) -> int:
    """Choice of one race of all prompts."""
    return chosen(told, range(len(told.losses)), settings)


def in_turn(told: Told, settings: Racing) -> int:
    """Choice of a race a step: the best so far against the next entrants, as in a search."""
    best: list[int] = []
    for begin in range(0, len(told.losses), settings.entrants):
        entrants = range(begin, min(begin + settings.entrants, len(told.losses)))
        best = [chosen(told, [*best, *entrants], settings)]
    return best[0]


def measured(sets: Sequence[Tensor], settings: Racing, way: object = whole) -> Measured:
    """Races of each set against full scoring."""
    same, shares, gaps = 0, [], []
    for each in sets:
        told = Told(each)
        place = way(told, settings)  # type: ignore[operator]
        means = each.double().mean(1)
        same += place == int(means.argmin())
        shares.append(len(told.asked) / each.numel())
        gaps.append(float(means[place] - means.min()))
    return Measured(same, mean(shares), max(gaps))


def settings_tried() -> Iterator[Racing]:
    """All settings."""
    for alpha, block in product(ALPHAS, BLOCKS):
        yield Racing(alpha=alpha, block=block)


def run(task: Task, plan: Plan, keep: Path | None, *, write: bool = True) -> None:
    """Chooses settings by some sets, reports them on others, and writes the section.

    Args:
        task: The task.
        plan: The sizes.
        keep: Folder of found losses, kept and taken up again.
        write: Whether to change the results page.
    """
    tuned, reported = (
        [losses(task, plan, seed, keep) for seed in range(first, first + plan.sets)]
        for first in (TUNED, REPORTED)
    )
    grid = {each: measured(tuned, each) for each in settings_tried()}
    good = [each for each, found in grid.items() if found.same >= AGREEMENT * plan.sets]
    # Where none agrees so often, the most faithful.
    best = min(good or grid, key=lambda each: (grid[each].share, -grid[each].same))
    if not good:
        best = max(grid, key=lambda each: (grid[each].same, -grid[each].share))
    rows = [
        [f"{alpha}", *(cell(grid[Racing(alpha=alpha, block=block)]) for block in BLOCKS)]
        for alpha in ALPHAS
    ]
    default = Racing()
    lines = [
        [
            name,
            f"{each.alpha}",
            f"{each.block}",
            *(cell(measured(reported, each, way)) for way in (whole, in_turn)),
            f"{measured(reported, each).gap:.4f}",
        ]
        for name, each in (("chosen on other sets", best), ("default", default))
    ]
    write_section(
        "Races",
        f"Sets of {plan.candidates} prompts of a GCG search each, random ones among them, on "
        f"task `{task.name}` under `{task.model}`, with {plan.sizes[1]} examples that choose; one "
        f"place. Each entry: in how many of {plan.sets} sets the race chooses the prompt that "
        "full scoring chooses, and its evaluations as a share of full scoring. On sets that only "
        "tune:\n\n"
        + table(["alpha", *(f"block {block}" for block in BLOCKS)], rows)
        + f"\n\nOn {plan.sets} other sets; *a race a step* lets {default.entrants} at a time race "
        "with the best so far, as a search does:\n\n"
        + table(["", "alpha", "block", "one race", "a race a step", "largest gap, nats"], lines),
        keep=write,
    )


def cell(found: Measured) -> str:
    """Entry of a table.

    >>> cell(Measured(19, 0.312, 0.0))
    '19, 31 %'
    """
    return f"{found.same}, {100 * found.share:.0f} %"
