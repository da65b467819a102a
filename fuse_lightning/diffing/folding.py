"""Folding of features that say the same: each goes to the strongest one that is like it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def folded(
    values: NDArray[np.float64],
    origins: NDArray[np.intp],
    order: Sequence[int],
    limit: float,
    most: int | None = None,
) -> dict[int, list[int]]:
    """Features that are kept, each with those that are like it.

    Two are alike that have equal values in all texts, or that go together among the texts of
    single origins. What only tells the same two origins apart is not alike: a model may have two
    habits.

    Args:
        values: Value of each feature in each text, shape ``(T, F)``.
        origins: Number of the origin of each text, shape ``(T,)``.
        order: Numbers of the features, the strongest first.
        limit: Smallest correlation, of either sign, of features that are alike.
        most: Most features that are kept. The rest of the order is not looked at then.

    Returns:
        In the given order the kept features, each with the numbers of the features under it.

    >>> values = np.array([[0.0, 1, 0], [1, 0, 1], [0, 1, 1], [1, 0, 0]])
    >>> folded(values, np.zeros(4, dtype=int), [2, 0, 1], limit=0.9)
    {2: [], 0: [1]}
    """
    within = values.astype(np.float64)
    for origin in np.unique(origins):
        within[origins == origin] -= within[origins == origin].mean(0)
    size = np.sqrt((within**2).sum(0))
    # What differs by rounding alone is the same in all texts of an origin.
    told = size > 1e-9 * (1 + np.abs(values).max(0, initial=0.0))
    within = np.where(told, within / np.where(told, size, 1.0), 0.0)
    kept: dict[int, list[int]] = {}
    for number in order:
        strong = [*kept]
        alike = np.abs(within[:, strong].T @ within[:, number]) >= limit
        alike |= (values[:, strong] == values[:, [number]]).all(0)
        if alike.any():
            kept[strong[int(alike.argmax())]].append(number)
        elif most is not None and len(kept) >= most:
            break
        else:
            kept[number] = []
    return kept
