"""Effects of features: how much more of each A's texts have than B's, with interval and p value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from scipy.stats import t as student

from fuse_lightning.decoding.rates import share_interval
from fuse_lightning.diffing.deals import deal_test
from fuse_lightning.diffing.paired_texts import Group
from fuse_lightning.diffing.sign_flips import sign_flip
from fuse_lightning.evaluation.intervals import LEVEL

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Grouped:
    """Features of the texts of one origin.

    Attributes:
        values: Value of each feature in each text, shape ``(T, F)``.
        prompts: Number of the prompt of each text, shape ``(T,)``; each prompt has one at least.
    """

    values: Values
    prompts: NDArray[np.intp]

    @property
    def counts(self) -> NDArray[np.intp]:
        """Number of texts of each prompt, shape ``(P,)``."""
        return np.bincount(self.prompts)

    @property
    def sums(self) -> Values:
        """Sum of each feature over the texts of each prompt, shape ``(P, F)``."""
        sums = np.zeros((len(self.counts), self.values.shape[1]))
        np.add.at(sums, self.prompts, self.values)
        return sums

    @property
    def means(self) -> Values:
        """Mean of each feature over the texts of each prompt, shape ``(P, F)``."""
        return self.sums / self.counts[:, None]


@dataclass(frozen=True)
class Effect:
    """Difference A - B of one feature, each prompt counted alike.

    Attributes:
        a: Mean of A's texts.
        b: Mean of B's texts.
        low: Lower end of the 95 % interval of ``a - b``.
        high: Upper end.
        p: P value of no difference, for both directions.
        size: Standard deviations of single texts that the difference makes, for an order of
            features of different units; positive where A has more.
    """

    a: float
    b: float
    low: float
    high: float
    p: float
    size: float

    @property
    def difference(self) -> float:
        """The difference."""
        return self.a - self.b


def prompt_numbers(groups: Sequence[Group]) -> NDArray[np.intp]:
    """Number of the prompt of each text, in the order of the texts.

    >>> prompt_numbers([("one", "two"), ("three",)]).tolist()
    [0, 0, 1]
    """
    return np.repeat(np.arange(len(groups)), [len(group) for group in groups])


def effects(a: Grouped, b: Grouped, rates: Sequence[bool], level: float = LEVEL) -> list[Effect]:
    """Effects of all features.

    Rates are tested by :func:`deal_test`, other numbers by :func:`sign_flip`.

    Args:
        a: Texts of A.
        b: Texts of B behind the same prompts.
        rates: Whether each feature is 0 or 1 in each text.
        level: Confidence level of the intervals.
    """
    means_a, means_b = a.means, b.means
    hits_a, hits_b = (each.sums.astype(np.intp) for each in (a, b))
    differences = means_a - means_b
    # In these units differences of whole numbers are whole, so that equal ones stay equal.
    whole = math.lcm(*np.unique(a.counts * b.counts).tolist())
    found = []
    for number, is_rate in enumerate(rates):
        x, y = means_a[:, number], means_b[:, number]
        if is_rate:
            low, high = rate_interval(x, y, (len(a.prompts), len(b.prompts)), level)
            p = deal_test((hits_a[:, number], hits_b[:, number]), (a.counts, b.counts))
        else:
            low, high = mean_interval(x - y, level)
            p = sign_flip(differences[:, number] * whole)
        spread = math.sqrt((a.values[:, number].var() + b.values[:, number].var()) / 2)
        # Texts that are all alike have no spread: the size is that of a spread of a thousandth.
        difference = float(differences[:, number].mean())
        size = difference / max(spread, 1e-3 * abs(difference), 1e-300)
        found.append(Effect(float(x.mean()), float(y.mean()), low, high, p, size))
    return found


def mean_interval(differences: Values, level: float = LEVEL) -> tuple[float, float]:
    """Student's interval of a mean of prompts.

    Args:
        differences: One for each prompt, shape ``(P,)``; at least two.
        level: Confidence level.

    >>> low, high = mean_interval(np.array([1.0, 2.0, 3.0]))
    >>> print(f"{low:.3f} to {high:.3f}")
    -0.484 to 4.484
    """
    count = len(differences)
    error = float(differences.std(ddof=1)) / math.sqrt(count)
    half = float(student.isf((1 - level) / 2, count - 1)) * error
    middle = float(differences.mean())
    return middle - half, middle + half


def rate_interval(
    a: Values, b: Values, texts: tuple[int, int], level: float = LEVEL
) -> tuple[float, float]:
    """Interval of the difference of two rates among texts that share prompts.

    Each rate has Wilson's interval for the number of independent texts that tell as much as the
    prompts do. The two are joined with the correlation of the prompts' rates (method 10 of
    Newcombe, Statistics in Medicine 17, 1998).

    Args:
        a: Rate of A behind each prompt, shape ``(P,)``; at least two prompts.
        b: Rate of B.
        texts: Numbers of texts of A and of B.
        level: Confidence level.

    >>> low, high = rate_interval(np.array([1, 0.5, 0.5, 1]), np.zeros(4), (8, 8))
    >>> print(f"{low:.2f} to {high:.2f}")
    0.01 to 0.96
    """
    worths = [_worth(each, count) for each, count in zip((a, b), texts, strict=True)]
    known = [worth / count for worth, count in zip(worths, texts, strict=True) if worth]
    tail = (1 - level) / 2
    fewer = float(norm.isf(tail) / student.isf(tail, len(a) - 1)) ** 2
    limits = []
    for each, count, worth in zip((a, b), texts, worths, strict=True):
        # Texts that are all alike do not say how much those of a prompt tell: the other's do.
        told = worth or (count * min(known) if known else len(each))
        share = min(1.0, float(each.mean()))
        limits.append((share, *share_interval(share, told * fewer, level)))
    (rate_a, low_a, high_a), (rate_b, low_b, high_b) = limits
    together = _correlation(a, b)

    def apart(first: float, second: float) -> float:
        return math.sqrt(max(0.0, first**2 + second**2 - 2 * together * first * second))

    middle = rate_a - rate_b
    low = middle - apart(rate_a - low_a, high_b - rate_b)
    high = middle + apart(high_a - rate_a, rate_b - low_b)
    return max(-1.0, low), min(1.0, high)


def _worth(rates: Values, texts: int) -> float:
    """Number of independent texts that tell as much; 0 where the rates do not say it."""
    rate, spread = float(rates.mean()), float(rates.var(ddof=1)) / len(rates)
    if not 0 < rate < 1:
        return 0.0
    return min(float(texts), rate * (1 - rate) / spread) if spread else float(texts)


def _correlation(a: Values, b: Values) -> float:
    """Correlation of two rates over prompts; 0 where one of them is the same everywhere."""
    first, second = a - a.mean(), b - b.mean()
    size = math.sqrt(float((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / size if size > 1e-12 else 0.0
