"""Exact test of paired differences by flips of their signs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GRID = 4096
"""Most steps of the sum of all sizes, to which differences that are no whole numbers are put."""
NEAR = 1e-9
"""Distance of a number from a whole one that counts for none."""


def sign_flip(differences: NDArray[np.float64]) -> float:
    """P value of a mean difference, for both directions.

    Without a true difference each one may as well have the other sign. All choices of signs are
    counted, not drawn: so values far below one in a million are exact. Whole numbers are taken as
    they are, if they are not too large; others are put to a fine grid first, which leaves the
    test exact for what is on the grid.

    Args:
        differences: One for each prompt, in any unit, shape ``(P,)``.

    Returns:
        The share of choices of signs whose sum is at least as far from 0.

    >>> sign_flip(np.array([1.0, 1, 1, 1, 1])), sign_flip(np.array([3.0, 1, -1]))
    (0.0625, 0.75)
    """
    steps = _steps(differences)
    total = int(np.abs(steps).sum())
    if not total:
        return 1.0
    # Chance of each sum of the sizes whose sign is positive.
    chances = np.zeros(total + 1)
    chances[0] = 1.0
    for size in np.abs(steps[steps != 0]):
        moved = np.zeros_like(chances)
        moved[size:] = chances[:-size]
        chances = (chances + moved) / 2
    sums = 2 * np.arange(total + 1) - total
    return min(1.0, float(chances[np.abs(sums) >= abs(int(steps.sum()))].sum()))


def _steps(differences: NDArray[np.float64]) -> NDArray[np.int64]:
    """Differences as whole numbers of steps, without a common divisor."""
    total = float(np.abs(differences).sum())
    whole = np.rint(differences)
    if np.abs(differences - whole).max(initial=0.0) <= NEAR * max(1.0, total):
        steps = whole.astype(np.int64)
        steps //= max(1, int(np.gcd.reduce(steps)))
        if np.abs(steps).sum() <= GRID:
            return steps
    return np.rint(differences * (GRID / total)).astype(np.int64)
