"""Exact test of two models' rates by deals of each prompt's texts."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import hypergeom

GRID = 20_000
"""Most steps from the least to the largest difference; finer ones are rounded."""

Counts = NDArray[np.intp]


def deal_test(hits: tuple[Counts, Counts], texts: tuple[Counts, Counts]) -> float:
    """P value of a difference of two models' rates, for both directions.

    If the models write alike, any of a prompt's texts may as well be A's or B's. All deals of each
    prompt's texts to A and B are counted, not drawn. With one text of each model this is McNemar's
    exact test.

    Args:
        hits: Number of A's texts with the feature behind each prompt, and of B's, shape ``(P,)``.
        texts: Number of all texts of A behind each prompt, and of B.

    Returns:
        The share of deals whose mean difference of rates is at least as far from 0.

    >>> two, none = np.array([2, 2]), np.array([0, 0])
    >>> print(f"{deal_test((two, none), (two, two)):.4f}")
    0.0556
    """
    (hits_a, hits_b), (texts_a, texts_b) = hits, texts
    both, every = hits_a + hits_b, texts_a + texts_b
    steps = _steps(texts_a, texts_b, np.minimum(both, texts_a))
    least = np.maximum(0, both - texts_b)
    chances = np.ones(1)
    for step, mine, all_texts, hit in zip(steps, texts_a, every, both, strict=True):
        own = _dealt(int(mine), int(all_texts), int(hit))
        spread = np.zeros((len(own) - 1) * int(step) + 1)
        spread[:: int(step)] = own
        chances = np.convolve(chances, spread)
    # The sum that the texts have, and the one that deals have on average.
    sums = int((steps * least).sum()) + np.arange(len(chances))
    middle = float((steps * both * (texts_a / every)).sum())
    apart = abs(float((steps * hits_a).sum()) - middle)
    return min(1.0, float(chances[np.abs(sums - middle) >= apart - 1e-6].sum()))


def _steps(texts_a: Counts, texts_b: Counts, most: Counts) -> NDArray[np.int64]:
    """Whole numbers in proportion to what one text with the feature adds to a difference."""
    common = math.lcm(*np.unique(texts_a * texts_b).tolist())
    exact = [int(a + b) * (common // int(a * b)) for a, b in zip(texts_a, texts_b, strict=True)]
    divisor = math.gcd(*exact)
    whole = [each // divisor for each in exact]
    total = sum(each * int(count) for each, count in zip(whole, most, strict=True))
    if total > GRID:
        whole = [max(1, round(each * GRID / total)) for each in whole]
    return np.array(whole, dtype=np.int64)


@lru_cache(maxsize=4096)
def _dealt(mine: int, texts: int, hits: int) -> NDArray[np.float64]:
    """Chance of each possible number of hits among A's texts, from the least on."""
    counts = np.arange(max(0, hits - (texts - mine)), min(hits, mine) + 1)
    chances: NDArray[np.float64] = hypergeom.pmf(counts, texts, hits, mine)
    return chances
