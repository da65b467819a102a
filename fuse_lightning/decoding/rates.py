"""Rates of a property among the texts of single amounts, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.intervals import LEVEL
from fuse_lightning.utilities.numbers import check_number


@dataclass(frozen=True)
class Grades:
    """Grades of the texts that were written with one amount.

    Attributes:
        amount: The amount a in ``before + a * (after - before)``.
        values: Grade of each text: 1 if it has the property, 0 if not, a number between for a
            judged probability, NaN if nobody could judge it.
        prompts: Number of the prompt of each text. Empty: the texts are independent of each other.
    """

    amount: float
    values: tuple[float, ...]
    prompts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        check_number("amount", self.amount)
        if self.prompts and len(self.prompts) != len(self.values):
            raise FuseError(
                f"amount {self.amount:g} has {len(self.values)} grades of texts, but numbers of "
                f"{len(self.prompts)} prompts; give one for each text"
            )
        for value in self.values:
            if not math.isnan(value):
                check_number(f"grade of a text of amount {self.amount:g}", value, 0, 1)

    @classmethod
    def counted(cls, amount: float, hits: int, texts: int) -> Grades:
        """Grades of independent texts of which so many have the property."""
        if not 0 <= hits <= texts:
            raise FuseError(
                f"{hits} of {texts} texts of amount {amount:g} are said to have the property; "
                f"give a number from 0 to {texts}"
            )
        return cls(amount, (1.0,) * hits + (0.0,) * (texts - hits))

    @property
    def judged(self) -> Grades:
        """The grades of the texts that could be judged."""
        kept = [number for number, value in enumerate(self.values) if not math.isnan(value)]
        values = tuple(self.values[number] for number in kept)
        prompts = tuple(self.prompts[number] for number in kept) if self.prompts else ()
        return Grades(self.amount, values, prompts)


@dataclass(frozen=True)
class Rate:
    """Rate of a property among the texts of one amount.

    Attributes:
        amount: The amount.
        texts: Number of judged texts.
        prompts: Number of prompts behind which they were written.
        hits: Sum of their grades: the number of texts with the property, where each has it or not.
        rate: ``hits / texts``, from 0 to 1; ``None`` without a judged text.
        low: Lowest rate of the interval.
        high: Highest rate of the interval.
        effect: Design effect: how many times larger the variance of the rate is than for as many
            independent texts. At least 1.
        unjudged: Number of texts that nobody could judge. They count nowhere else.
    """

    amount: float
    texts: int
    prompts: int
    hits: float
    rate: float | None
    low: float
    high: float
    effect: float
    unjudged: int


def share_interval(share: float, size: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval of a share among a number of texts that need not be whole.

    Args:
        share: The observed share, from 0 to 1.
        size: Number of independent texts that tell as much.
        level: Confidence level.

    Returns:
        Lowest and highest share.

    >>> low, high = share_interval(0.78, 400)
    >>> print(f"{low:.3f} to {high:.3f}")
    0.737 to 0.818
    """
    z2 = float(norm.isf((1 - level) / 2)) ** 2
    middle = (share + z2 / (2 * size)) / (1 + z2 / size)
    half = math.sqrt(z2 * (share * (1 - share) / size + z2 / (4 * size**2))) / (1 + z2 / size)
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def design_effect(grades: Grades) -> float | None:
    """Design effect of the rate of texts of which several may share a prompt, at least 1.

    It is the variance of the rate between prompts, over that of independent texts. Texts of one
    prompt are often alike: then ten of them tell less than one of each of ten prompts.

    Args:
        grades: Grades without NaN.

    Returns:
        ``None`` where all texts have one grade, or one prompt has all texts: nothing can be said.

    >>> design_effect(Grades(1.0, (1, 1, 0, 0), prompts=(0, 0, 1, 1)))
    4.0
    >>> design_effect(Grades(1.0, (1, 0, 1, 0), prompts=(0, 0, 1, 1)))
    1.0
    """
    count = len(grades.values)
    values = np.array(grades.values)
    rate = float(values.mean()) if count else 0.0
    if not 0 < rate < 1:
        return None
    if not grades.prompts or len({*grades.prompts}) == count:
        return 1.0
    _, of = np.unique(grades.prompts, return_inverse=True)
    # How far the sum of each prompt lies from what its number of texts lets one expect.
    apart = np.bincount(of, values - rate)
    if len(apart) < 2:
        return None
    between = len(apart) / (len(apart) - 1) * float((apart**2).sum()) / count**2
    return max(1.0, between / (rate * (1 - rate) / count))


def rate_of(grades: Grades, level: float = LEVEL, effect: float | None = None) -> Rate:
    """Rate of a property among the texts of one amount.

    The interval is Wilson's for the number of independent texts that tell as much: the texts over
    the design effect, and fewer where there are few prompts, by the quantile of Student's t (Korn
    and Graubard, Survey Methodology 24, 1998). It speaks of new prompts like these. With one
    prompt alone it speaks of this prompt.

    Args:
        grades: The grades.
        level: Confidence level.
        effect: Design effect to take where the grades cannot say one, as where no text has the
            property; by default 1.

    >>> print(rate_of(Grades.counted(1.0, 312, 400)).rate)
    0.78
    """
    known = grades.judged
    texts, unjudged = len(known.values), len(grades.values) - len(known.values)
    prompts = len({*known.prompts}) if known.prompts else texts
    if not texts:
        return Rate(grades.amount, 0, 0, 0.0, None, 0.0, 1.0, 1.0, unjudged)
    hits = math.fsum(known.values)
    own = design_effect(known)
    clustered = 1 < prompts < texts
    widened = (own if own is not None else effect or 1.0) if clustered else 1.0
    size = texts / widened
    if clustered:
        tail = (1 - level) / 2
        size *= float(norm.isf(tail) / student.isf(tail, prompts - 1)) ** 2
    low, high = share_interval(min(1.0, hits / texts), size, level)
    rate = hits / texts
    return Rate(grades.amount, texts, prompts, hits, rate, low, high, widened, unjudged)


def rates(groups: Sequence[Grades], level: float = LEVEL) -> list[Rate]:
    """Rates of a property at several amounts, in the order of the amounts.

    Where no text, or every text, of an amount has the property, its grades say no design effect:
    the largest of the other amounts is taken.

    Args:
        groups: Grades of each amount.
        level: Confidence level.

    Raises:
        FuseError: If an amount comes twice.

    >>> [rate.rate for rate in rates([Grades.counted(2, 3, 4), Grades.counted(1, 1, 4)])]
    [0.25, 0.75]
    """
    check_number("level", level, 0.5, 0.9999)
    ordered = sorted(groups, key=lambda each: each.amount)
    for first, second in pairwise(ordered):
        if first.amount == second.amount:
            raise FuseError(f"amount {first.amount:g} is given twice; give its texts together")
    known = [effect for each in ordered if (effect := design_effect(each.judged)) is not None]
    return [rate_of(each, level, max(known, default=1.0)) for each in ordered]
