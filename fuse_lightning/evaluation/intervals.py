"""Confidence intervals of an accuracy and of the difference of two."""

import math

from scipy.optimize import brentq
from scipy.stats import binomtest, norm

from fuse_lightning.errors import FuseError

LEVEL = 0.95
"""Share of cases in which an interval is to hold the true value."""
EDGE = 1e-12
"""Distance from the observed difference at which the search for a limit begins."""


def accuracy_interval(right: int, examples: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval of an accuracy.

    Args:
        right: Number of examples answered rightly.
        examples: Number of examples.
        level: Confidence level.

    Returns:
        Lowest and highest accuracy, each from 0 to 1.

    Raises:
        FuseError: If there is no example.

    >>> low, high = accuracy_interval(312, 400)
    >>> print(f"{low:.3f} to {high:.3f}")
    0.737 to 0.818
    """
    _need_examples(examples)
    interval = binomtest(right, examples).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def difference_interval(
    wins: int, losses: int, examples: int, level: float = LEVEL
) -> tuple[float, float]:
    """Tango's score interval of the difference of two accuracies on the same examples.

    Its test of "no difference" is McNemar's. It stays honest where there are few wins and losses,
    or none (Tango, Statistics in Medicine 17, 1998).

    Args:
        wins: Number of examples that only the first answers rightly.
        losses: Number of examples that only the second answers rightly.
        examples: Number of all examples.
        level: Confidence level.

    Returns:
        Lowest and highest difference, first minus second, each from -1 to 1.

    Raises:
        FuseError: If there is no example.

    >>> low, high = difference_interval(60, 30, 400)
    >>> print(f"{low:+.3f} to {high:+.3f}")
    +0.029 to +0.122
    """
    _need_examples(examples)
    z = float(norm.isf((1 - level) / 2))
    # Swapping the two turns the interval round.
    return _lowest(wins, losses, examples, z), -_lowest(losses, wins, examples, z)


def _lowest(wins: int, losses: int, examples: int, z: float) -> float:
    """The difference that lies ``z`` standard errors below the observed one."""
    observed = (wins - losses) / examples
    if observed == -1:
        return -1.0

    def excess(difference: float) -> float:
        distance = observed - difference
        return distance - z * _error(wins, losses, examples, difference)

    # At the observed difference itself the standard error may be 0, which is no limit.
    return float(brentq(excess, -1.0, observed - EDGE, xtol=1e-12))


def _error(wins: int, losses: int, examples: int, difference: float) -> float:
    """Standard error of the observed difference if ``difference`` is the true one."""
    # The likeliest share of losses under that difference solves a quadratic equation.
    a = 2 * examples
    b = (2 * examples - wins + losses) * difference - wins - losses
    c = -losses * difference * (1 - difference)
    share = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)
    return math.sqrt(max(2 * share + difference * (1 - difference), 0.0) / examples)


def _need_examples(examples: int) -> None:
    if examples < 1:
        raise FuseError(f"an interval of {examples} examples is asked for; give at least 1")
