"""Binomial fits of rates along a path: the logit of the rate is a polynomial in the amount."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, xlogy
from scipy.stats import chi2, norm
from scipy.stats import t as student

from fuse_lightning.decoding.rates import Grades, design_effect

Array = NDArray[np.float64]
FURTHEST = 40.0
"""Largest logit that is looked at; its rate differs from 0 or 1 by less than 1e-17."""
STEP = 4.0
"""Most that one step of Newton's method changes a logit."""
SMALL = 1e-6
"""Expected number of texts below which a fitted rate counts as 0 or 1."""
DOUBT = 0.05
"""P value below which a fit counts as poor."""


def maximize(
    design: Array, offset: Array, hits: Array, texts: Array, start: Array | None = None
) -> tuple[Array, float]:
    """Coefficients of the largest binomial log-likelihood with logit link.

    The likelihood is concave. Where its supremum lies at infinity, as with separated counts,
    the coefficients stop where at most 1e-10 is left to gain.

    Args:
        design: Predictors, shape (A, k).
        offset: Part of the logits that is given, shape (A,).
        hits: Number of hits, shape (A,).
        texts: Number of texts, shape (A,).
        start: Coefficients to begin with, such as those of a similar fit; by default 0.

    Returns:
        Coefficients, shape (k,), and the log-likelihood without its binomial coefficients (nats).

    >>> one, two = np.ones((1, 1)), np.array([2.0])
    >>> found, log_likelihood = maximize(one, np.zeros(1), two, np.array([8.0]))
    >>> print(f"{expit(found[0]):.4f} {log_likelihood:.4f}")
    0.2500 -4.4987
    """

    def value(logits: Array) -> float:
        return float((hits * logits - texts * np.logaddexp(0.0, logits)).sum())

    coefficients = np.zeros(design.shape[1]) if start is None else start
    logits = offset + design @ coefficients
    best = value(logits)
    for _ in range(500):
        gradient = design.T @ (hits - texts * expit(logits))
        spread = texts * expit(logits) * expit(-logits)
        curvature = design.T @ (spread[:, None] * design)
        ridge = 1e-12 * max(float(np.trace(curvature)), 1e-200)
        step = np.linalg.solve(curvature + ridge * np.eye(len(gradient)), gradient)
        if float(gradient @ step) < 1e-11:
            break
        # Far from the maximum the curvature is almost 0, and steps would be huge.
        step /= max(1.0, float(np.abs(design @ step).max()) / STEP)
        change, size = design @ step, 1.0
        while size > 1e-12 and value(logits + size * change) < best:
            size /= 2
        if size <= 1e-12:
            break
        coefficients = coefficients + size * step
        logits = offset + design @ coefficients
        best = value(logits)
    return coefficients, best


@dataclass(frozen=True)
class PathFit:
    """Fit of rates at several amounts by a line or a parabola of their logits.

    Attributes:
        groups: Judged grades of each amount, in the order of the amounts.
        degree: 1 for a line, 2 for a parabola.
        level: Confidence level of the intervals.
        amounts: The A amounts, shape (A,).
        hits: Sum of the grades of each, shape (A,).
        texts: Number of texts of each, shape (A,).
    """

    groups: Sequence[Grades]
    degree: int
    level: float
    amounts: Array = field(init=False)
    hits: Array = field(init=False)
    texts: Array = field(init=False)

    def __post_init__(self) -> None:
        for name, values in (
            ("amounts", [each.amount for each in self.groups]),
            ("hits", [sum(each.values) for each in self.groups]),
            ("texts", [len(each.values) for each in self.groups]),
        ):
            object.__setattr__(self, name, np.array(values, dtype=np.float64))

    def design(self, at: float) -> Array:
        """Powers of the distance from an amount, in spans of the counted amounts, (A, k).

        So the first coefficient is the logit of the rate at this amount.
        """
        distance = (self.amounts - at) / np.ptp(self.amounts)
        return np.vander(distance, self.degree + 1, increasing=True)

    @cached_property
    def fitted(self) -> Array:
        """Fitted rate of each amount, shape (A,)."""
        design = self.design(float(self.amounts.mean()))
        coefficients, _ = maximize(design, np.zeros(len(design)), self.hits, self.texts)
        fitted: Array = expit(design @ coefficients)
        return fitted

    @cached_property
    def log_likelihood(self) -> float:
        """Largest log-likelihood (nats)."""
        design = self.design(float(self.amounts.mean()))
        return maximize(design, np.zeros(len(design)), self.hits, self.texts)[1]

    @property
    def separated(self) -> bool:
        """Whether the likelihood has no maximum: a fitted rate goes to 0 or to 1."""
        expected = self.texts * self.fitted
        return bool(min(expected.min(), (self.texts - expected).min()) < SMALL)

    @property
    def freedom(self) -> int:
        """Degrees of freedom that are left to check the fit with."""
        return len(self.groups) - self.degree - 1

    @property
    def deviance(self) -> float:
        """Deviance of the fit (twice nats), lower is better; 0 where it meets every rate."""
        hits, texts, expected = self.hits, self.texts, self.texts * self.fitted
        # A fitted rate may be 0 only where no text is a hit.
        tiny = 1e-300
        parts = xlogy(hits, np.maximum(hits, tiny) / np.maximum(expected, tiny))
        others = np.maximum(texts - hits, tiny) / np.maximum(texts - expected, tiny)
        return max(0.0, 2 * float((parts + xlogy(texts - hits, others)).sum()))

    @cached_property
    def effect(self) -> float:
        """Mean design effect of the amounts whose grades say one; 1 without any."""
        known = [effect for each in self.groups if (effect := design_effect(each)) is not None]
        return float(np.mean(known)) if known else 1.0

    @property
    def fit_p(self) -> float | None:
        """P value of the deviance over the design effect; ``None`` without freedom.

        Small: the rates do not follow this curve. Rough where few texts are hits (Rao and Scott,
        Annals of Statistics 12, 1984).
        """
        if self.freedom < 1:
            return None
        return float(chi2.sf(self.deviance / self.effect, self.freedom))

    @property
    def misfit(self) -> float:
        """Pearson's dispersion where the fit is poor, at least 1; else 1."""
        p = self.fit_p
        if p is None or p >= DOUBT:
            return 1.0
        expected = self.texts * self.fitted
        spread = np.maximum(expected * (1 - self.fitted), SMALL)
        return max(1.0, float(((self.hits - expected) ** 2 / spread).sum()) / self.freedom)

    @cached_property
    def clusters(self) -> NDArray[np.intp] | None:
        """Prompt of each text of all amounts; ``None`` if texts count as independent."""
        if not all(each.prompts for each in self.groups):
            return None
        prompts = [number for each in self.groups for number in each.prompts]
        of = np.unique(prompts, return_inverse=True)[1]
        return of if 1 < int(of.max()) + 1 < len(prompts) else None

    def widening(self, at: float) -> float:
        """Factor of the variance of the logit at an amount, at least 1.

        It is the variance that holds whatever texts of one prompt have in common, also across
        amounts, over that of independent texts (Liang and Zeger, Biometrika 73, 1986); or the
        dispersion of a poor fit, where that is larger.
        """
        return max(self._robust(at), self.misfit)

    def _robust(self, at: float) -> float:
        of = self.clusters
        if of is None:
            return 1.0
        if self.separated:
            return self.effect
        design = self.design(at)
        spread = self.texts * self.fitted * (1 - self.fitted)
        inverse = np.linalg.pinv(design.T @ (spread[:, None] * design))
        counts = [len(each.values) for each in self.groups]
        values = np.concatenate([each.values for each in self.groups])
        residuals = (values - np.repeat(self.fitted, counts))[:, None]
        scores = np.zeros((int(of.max()) + 1, design.shape[1]))
        np.add.at(scores, of, residuals * np.repeat(design, counts, axis=0))
        robust = inverse @ (scores.T @ scores) @ inverse * len(scores) / (len(scores) - 1)
        return max(1.0, float(robust[0, 0] / inverse[0, 0]))

    def interval(self, at: float) -> tuple[float, float, float]:
        """Rate at an amount with the limits of its interval: rate, low, high.

        The interval holds the rates whose profile likelihood lies close enough to the maximum,
        after :meth:`widening`. It is open, down to 0 or up to 1, where the counts set no limit.
        """
        design, zeros = self.design(at), np.zeros(len(self.groups))
        coefficients, best = maximize(design, zeros, self.hits, self.texts)
        logit = float(np.clip(coefficients[0], -FURTHEST, FURTHEST))
        far = self._quantile() ** 2 * self.widening(at)

        others = coefficients[1:]

        def excess(value: float) -> float:
            nonlocal others
            others, found = maximize(
                design[:, 1:], zeros + value, self.hits, self.texts, start=others
            )
            return 2 * (best - found) - far

        def limit(end: float) -> float:
            inside, width = logit, 1.0
            while inside != end:
                outside = max(end, inside - width) if end < 0 else min(end, inside + width)
                if excess(outside) > 0:
                    return float(brentq(excess, inside, outside, xtol=1e-9))
                inside, width = outside, 2 * width
            return end

        # A logit that goes to infinity stops somewhere on its way there.
        if self.separated:
            ends = [end for end in (-FURTHEST, FURTHEST) if excess(end) + far < SMALL]
            logit = ends[0] if len(ends) == 1 else logit
        return _rate(logit), _rate(limit(-FURTHEST)), _rate(limit(FURTHEST))

    def _quantile(self) -> float:
        tail = (1 - self.level) / 2
        if self.clusters is None:
            return float(norm.isf(tail))
        return float(student.isf(tail, int(self.clusters.max())))

    def turn(self) -> float | None:
        """Amount at which a parabola turns; ``None`` for a line."""
        if self.degree < 2:
            return None
        design: Any = self.design(0.0)
        _, slope, bend = maximize(design, np.zeros(len(design)), self.hits, self.texts)[0]
        return float(-slope / (2 * bend) * np.ptp(self.amounts)) if bend else None


def _rate(logit: float) -> float:
    """Rate of a logit: 0 or 1 from :data:`FURTHEST` on."""
    if abs(logit) >= FURTHEST:
        return float(logit > 0)
    return float(expit(logit))
