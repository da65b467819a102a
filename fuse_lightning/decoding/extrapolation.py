"""Extrapolation of a rare rate along the path of weights between two models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import logit
from scipy.stats import chi2, norm

from fuse_lightning.decoding.path_fit import DOUBT, PathFit
from fuse_lightning.decoding.rates import Grades, rates
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.intervals import LEVEL
from fuse_lightning.utilities.option_names import option

Shape = Literal["auto", "line", "parabola"]
"""Curve of the logit of the rate; "auto" takes a parabola only where a line is refuted."""
SHAPES: tuple[Shape, ...] = ("auto", "line", "parabola")
FAR = 1.0
"""Distance, in spans of the counted amounts, from which a wanted amount is said to be far."""
POINTS = 41
"""Number of points of a drawn curve."""


@dataclass(frozen=True)
class CurvePoint:
    """Fitted rate at an amount with its interval.

    Attributes:
        amount: The amount.
        rate: Fitted rate, from 0 to 1.
        low: Lowest rate of the interval.
        high: Highest rate of the interval.
    """

    amount: float
    rate: float
    low: float
    high: float


@dataclass(frozen=True)
class Extrapolation:
    """Rate at a wanted amount as the rates at other amounts let one expect it.

    It is no count: it holds as far as the curve goes on as it was fitted.

    Attributes:
        wanted: The wanted amount.
        rate: Extrapolated rate, from 0 to 1.
        low: Lowest rate of the interval; 0 where the counts set no limit.
        high: Highest rate of the interval; 1 where the counts set no limit.
        level: Confidence level.
        shape: Fitted curve: "line" or "parabola".
        amounts: Amounts whose texts were used.
        texts: Number of these texts.
        deviance: Deviance of the fit, lower is better.
        freedom: Degrees of freedom left to check the fit with.
        fit_p: P value of the deviance; small: the rates do not follow the curve. ``None`` where
            there are as many amounts as coefficients, so that nothing is checked.
        widening: Factor of the variance for texts that share prompts, or for a poor fit; at least
            1.
        beyond: Distance of the wanted amount from the nearest counted one, in spans of the counted
            amounts; 0 if it lies between counted ones.
        notes: Reasons to doubt the number, each a line.
    """

    wanted: float
    rate: float
    low: float
    high: float
    level: float
    shape: Shape
    amounts: tuple[float, ...]
    texts: int
    deviance: float
    freedom: int
    fit_p: float | None
    widening: float
    beyond: float
    notes: tuple[str, ...] = ()

    @property
    def worth(self) -> int | None:
        """Number of independent texts of the wanted amount that would tell the rate as well.

        Their count would have as small a standard error of the logit. ``None`` where the interval
        is open.
        """
        if not 0 < self.low < self.rate < self.high < 1:
            return None
        wide = 2 * float(norm.isf((1 - self.level) / 2))
        error = float(logit(self.high) - logit(self.low)) / wide
        return round(1 / (error**2 * self.rate * (1 - self.rate)))


def extrapolate(
    groups: Sequence[Grades],
    wanted: float = 1.0,
    *,
    shape: Shape = "auto",
    level: float = LEVEL,
) -> Extrapolation:
    """Rate of a property at a wanted amount, from the texts of other amounts alone.

    The logit of the rate is taken to be a line in the amount a of
    ``before + a * (after - before)``, or a parabola where a likelihood ratio test refutes the line
    and there are amounts enough. The fit is by maximum likelihood of binomial counts, the interval
    by profile likelihood. Where prompts have several texts it is widened by the variance between
    prompts. Grades between 0 and 1 count as shares of a hit (Papke and Wooldridge, Journal of
    Applied Econometrics 11, 1996), which makes the interval rather too wide.

    Texts of the wanted amount take no part, so that a rate that is counted there checks the
    extrapolated one. What is assumed: prompts are drawn alike for all amounts, and nothing happens
    between the counted amounts and the wanted one that the curve does not show.

    Sources: the path between two models is that of Logit Path Extrapolation (Pernice and
    Aranguri, 2026), with amounts above 1 as in model diff amplification (Aranguri and McGrath,
    2025).

    Args:
        groups: Grades of the texts of each amount.
        wanted: Amount whose rate is wanted; 1 is the model after the change.
        shape: Curve of the logit.
        level: Confidence level.

    Raises:
        FuseError: If the counts say nothing about the wanted amount.

    >>> counts = [(2, 4, 200), (2.5, 12, 200), (3, 40, 200)]
    >>> found = extrapolate([Grades.counted(*each) for each in counts])
    >>> print(f"{found.rate:.5f} from {found.low:.5f} to {found.high:.5f}")
    0.00140 from 0.00023 to 0.00648
    >>> print(f"{found.texts} texts tell as much as {found.worth} of amount 1 would")
    600 texts tell as much as 985 of amount 1 would
    """
    if shape not in SHAPES:
        raise FuseError(f"{option('shape')} is {shape!r}; give one of {', '.join(SHAPES)}")
    used = _usable(groups, wanted, level)
    fit = _fit(used, shape, level)
    rate, low, high = fit.interval(wanted)
    amounts = fit.amounts.tolist()
    outside = max(amounts[0] - wanted, wanted - amounts[-1], 0.0)
    beyond = outside / (amounts[-1] - amounts[0])
    return Extrapolation(
        *(wanted, rate, low, high, level),
        shape="parabola" if fit.degree == 2 else "line",
        amounts=tuple(amounts),
        texts=int(fit.texts.sum()),
        deviance=fit.deviance,
        freedom=fit.freedom,
        fit_p=fit.fit_p,
        widening=fit.widening(wanted),
        beyond=beyond,
        notes=tuple(_notes(fit, wanted, beyond)),
    )


def curve(
    groups: Sequence[Grades],
    found: Extrapolation,
    points: int = POINTS,
) -> list[CurvePoint]:
    """Fitted curve of an extrapolation with its band, to be drawn.

    Args:
        groups: The grades that the extrapolation was made from.
        found: The extrapolation.
        points: Number of points, evenly spaced over all amounts and the wanted one.

    >>> counts = [Grades.counted(2, 4, 200), Grades.counted(3, 40, 200)]
    >>> [round(each.rate, 4) for each in curve(counts, extrapolate(counts), points=3)]
    [0.0017, 0.02, 0.2]
    """
    used = _usable(groups, found.wanted, found.level)
    fit = PathFit(used, 2 if found.shape == "parabola" else 1, found.level)
    ends = min(found.wanted, *found.amounts), max(found.wanted, *found.amounts)
    return [CurvePoint(at, *fit.interval(at)) for at in np.linspace(*ends, points).tolist()]


def _usable(groups: Sequence[Grades], wanted: float, level: float) -> list[Grades]:
    """Judged grades of the other amounts, in order.

    Raises:
        FuseError: If they say nothing about the wanted amount.
    """
    if not math.isfinite(wanted):
        raise FuseError(f"the wanted amount is {wanted}; give a finite number")
    counted = rates(groups, level)
    left = {rate.amount for rate in counted if rate.texts and rate.amount != wanted}
    known = sorted((each.judged for each in groups), key=lambda each: each.amount)
    used = [each for each in known if each.amount in left]
    if len(used) < 2:
        raise FuseError(
            f"the rate at amount {wanted:g} cannot be extrapolated from {len(used)} other "
            f"amount{'' if len(used) == 1 else 's'} with judged texts; give at least 2"
        )
    hits = [sum(each.values) for each in used]
    texts = [len(each.values) for each in used]
    names = ", ".join(f"{each.amount:g}" for each in used)
    if not any(hits):
        raise FuseError(
            f"no text of the amounts {names} has the property, which says nothing about its rate "
            f"at amount {wanted:g}; give amounts at which it is common, or more texts"
        )
    if hits == texts:
        raise FuseError(
            f"every text of the amounts {names} has the property, which says nothing about its "
            f"rate at amount {wanted:g}; give amounts at which it is less common"
        )
    if not any(0 < some < count for some, count in zip(hits, texts, strict=True)):
        raise FuseError(
            f"the property jumps from no text to every text among the amounts {names}, which does "
            f"not say how fast its rate at amount {wanted:g} changes; give amounts between them"
        )
    return used


def _fit(used: Sequence[Grades], shape: Shape, level: float) -> PathFit:
    """The line, or the parabola where it is asked for or the line is refuted."""
    line = PathFit(used, 1, level)
    partly = sum(0 < some < count for some, count in zip(line.hits, line.texts, strict=True))
    if shape == "parabola" and partly < 3:
        raise FuseError(
            f"shape is 'parabola', but only {partly} of {len(used)} amounts have texts both with "
            "and without the property; give 3 such amounts, or shape 'line'"
        )
    if shape == "line" or (shape == "auto" and (len(used) < 4 or partly < 3)):
        return line
    parabola = PathFit(used, 2, level)
    gain = 2 * (parabola.log_likelihood - line.log_likelihood) / line.effect
    return parabola if shape == "parabola" or chi2.sf(gain, 1) < DOUBT else line


def _notes(fit: PathFit, wanted: float, beyond: float) -> list[str]:
    """Reasons to doubt an extrapolated rate, each a line."""
    notes = []
    first, last = fit.amounts[0], fit.amounts[-1]
    if beyond > FAR:
        notes.append(
            f"amount {wanted:g} lies {beyond:.1f} spans of the counted amounts ({first:g} to "
            f"{last:g}) beyond them; give amounts nearer to it"
        )
    if fit.separated:
        notes.append(
            "the counts set the interval no limit on one side: too few amounts have texts both "
            "with and without the property"
        )
    if fit.fit_p is not None and fit.fit_p < DOUBT:
        shape = "parabola" if fit.degree == 2 else "line"
        notes.append(
            f"the rates do not follow a {shape} (p = {fit.fit_p:.2g}), so the interval is widened; "
            "look at the rates, or give more amounts near the wanted one"
        )
    turn = fit.turn()
    if turn is not None and min(wanted, first) < turn < max(wanted, last):
        notes.append(
            f"the fitted parabola turns at amount {turn:.2g}: the rate rises on one side of it and "
            "falls on the other"
        )
    if len({number for each in fit.groups for number in each.prompts}) == 1:
        notes.append("all texts have one prompt: the interval speaks of this prompt alone")
    return notes
