"""Mean of an effect over texts, with its interval and its test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from fuse_lightning.evaluation.intervals import LEVEL


class MeanEffect(NamedTuple):
    """Mean of an effect over texts.

    Attributes:
        mean: The mean.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: P value of the t test of "no effect", for both directions.
    """

    mean: float
    low: float
    high: float
    p: float


def mean_effect(values: Sequence[float]) -> MeanEffect:
    """Mean of one value a text, by Student's t over texts.

    Tokens of one text depend on each other, so each text counts as one draw.

    Args:
        values: The effect in each of at least two texts.

    >>> found = mean_effect([1.0, 2.0, 3.0, 4.0])
    >>> print(f"{found.mean} from {found.low:.2f} to {found.high:.2f}, p {found.p:.3f}")
    2.5 from 0.45 to 4.55, p 0.030
    """
    each = np.asarray(values, dtype=np.float64)
    mean = float(each.mean())
    error = float(each.std(ddof=1)) / math.sqrt(len(each))
    wide = error * float(student.isf((1 - LEVEL) / 2, len(each) - 1))
    if error == 0:
        # Equal values have no error; if all are 0, nothing speaks against "no effect".
        return MeanEffect(mean, mean, mean, float(mean == 0))
    p = 2 * float(student.sf(abs(mean) / error, len(each) - 1))
    return MeanEffect(mean, mean - wide, mean + wide, p)
