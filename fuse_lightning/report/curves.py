"""Curves of the report, as points of SVG shapes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from fuse_lightning.report.run import Run
from fuse_lightning.search.curves import by_own_steps

WIDTH, HEIGHT, PAD = 320, 120, 8
"""Size of a curve and its margin, in pixels."""
OWN = ("best", "candidates_per_second")
"""Curves of a search that the one over own steps, or none, stands for."""
Points = Sequence[tuple[int, float]]


@dataclass(frozen=True)
class Curve:
    """A curve of the page.

    Attributes:
        line: Points of the line.
        band: Points of the outline of a band around it; empty for none.
        low: Lowest value that is drawn.
        high: Highest value.
        last: Last value of the line.
        about: What the curve is of; empty for what its name says.
    """

    line: str
    low: str
    high: str
    last: str
    band: str = ""
    about: str = ""


def curves_of(run: Run, terms: Sequence[str]) -> dict[str, Curve]:
    """Curves of a run by name.

    The loss is that over the targets' own steps, where results have it. The other curves are what
    the search itself logged beside its losses.

    Args:
        run: The run.
        terms: Names of its losses.
    """
    own = by_own_steps(run.results)
    found = {}
    if len(own.get("mean", ())) > 1:
        targets = sum(bool(result.curve) for result in run.results if result.rank == 1)
        found["loss"] = own_steps(own, targets)
    hidden = (*OWN, *terms) if found else OWN[1:]
    for tag, logged in run.curves.items():
        name = tag.removeprefix("train/")
        points = [point for point in logged if math.isfinite(point[1])]
        known = tag.startswith(("train/", "select/")) and name not in hidden
        if known and len(points) > 1:
            found[name] = curve(points)
    return found


def own_steps(points: Mapping[str, Points], targets: int) -> Curve:
    """Curve of the mean over targets, with a band between the quartiles.

    Args:
        points: Points of ``mean``, ``lower`` and ``upper``.
        targets: Number of targets.
    """
    if targets == 1:
        return curve(points["mean"], about="over the target's own steps")
    about = f"over the targets' own steps, mean and quartiles of {targets}"
    return curve(points["mean"], [*points["lower"], *reversed(points["upper"])], about)


def curve(points: Points, outline: Points = (), about: str = "") -> Curve:
    """Curve through points.

    Of points that share a pixel's width only the lowest and the highest are drawn.

    Args:
        points: Points (step, value) of the line, by step.
        outline: Corners of a band around it, in order.
        about: What the curve is of.

    >>> curve([(0, 5.0), (10, 1.0), (20, 3.0)]).line
    '8.0,8.0 160.0,112.0 312.0,60.0'
    """
    first, values = points[0][0], [value for _, value in (*points, *outline)]
    low, high = min(values), max(values)
    across = (WIDTH - 2 * PAD) / max(1, points[-1][0] - first)
    up = (HEIGHT - 2 * PAD) / (high - low or 1.0)

    def text(some: Points) -> str:
        return " ".join(
            f"{PAD + (step - first) * across:.1f},{HEIGHT - PAD - (value - low) * up:.1f}"
            for step, value in some
        )

    drawn: list[tuple[int, float]] = []
    for _, some in groupby(points, key=lambda point: int((point[0] - first) * across)):
        column = [*some]
        ends = (pick(column, key=lambda point: point[1]) for pick in (min, max))
        drawn += sorted({*ends})
    numbers = f"{low:.3g}", f"{high:.3g}", f"{points[-1][1]:.4g}"
    return Curve(text(drawn), *numbers, text(outline), about)
