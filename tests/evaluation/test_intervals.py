"""Confidence intervals against formulas by hand, published figures and simulation."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.intervals import accuracy_interval, difference_interval

Z = 1.959963984540054


@st.composite
def tables(draw, most=300):
    examples = draw(st.integers(1, most))
    wins = draw(st.integers(0, examples))
    return wins, draw(st.integers(0, examples - wins)), examples


@given(tables())
def test_wilson_is_its_formula(table):
    right, _, n = table
    share = right / n
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    low, high = accuracy_interval(right, n)
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=1e-9)
    assert 0 <= low <= share <= high <= 1


@pytest.mark.parametrize(
    ("wins", "losses", "examples", "expected"),
    [
        # Fagerland, Lydersen, Laake: Recommended tests and confidence intervals for paired
        # binomial proportions (Statistics in Medicine 33, 2014), airway data
        (1, 7, 21, (-0.517, -0.026)),
        # b = c = 0 by hand: z² / (n + z²)
        (0, 0, 100, (-(Z**2) / (100 + Z**2), Z**2 / (100 + Z**2))),
        # all wins by hand: (n - z²) / (n + z²)
        (10, 0, 10, ((10 - Z**2) / (10 + Z**2), 1.0)),
    ],
)
def test_difference_of_known_tables(wins, losses, examples, expected):
    assert difference_interval(wins, losses, examples) == pytest.approx(expected, abs=6e-4)


@given(tables())
def test_difference_interval_holds_the_difference_and_turns_with_the_sides(table):
    wins, losses, examples = table
    low, high = difference_interval(wins, losses, examples)
    assert -1 <= low <= (wins - losses) / examples <= high <= 1
    assert difference_interval(losses, wins, examples) == pytest.approx((-high, -low))


def standard_error(wins, losses, n, difference):
    """Standard error under a difference, by the likelihood's maximum found numerically."""

    def against(share):
        cells = share + difference, share, 1 - 2 * share - difference
        counts = wins, losses, n - wins - losses
        if min(cells) < 0:
            return math.inf
        return -sum(k * math.log(max(p, 1e-300)) for k, p in zip(counts, cells, strict=True))

    bounds = max(0.0, -difference), (1 - difference) / 2
    share = minimize_scalar(against, bounds=bounds, method="bounded", options={"xatol": 1e-12}).x
    return math.sqrt((2 * share + difference - difference**2) / n)


@given(tables(100))
def test_limits_lie_as_many_standard_errors_away_as_the_level_says(table):
    wins, losses, examples = table
    observed = (wins - losses) / examples
    for limit, sign in zip(difference_interval(*table), (1, -1), strict=True):
        assume(abs(limit) < 0.999)
        distance = sign * (observed - limit) / standard_error(*table, limit)
        assert distance == pytest.approx(Z, rel=1e-3)


def test_a_difference_interval_covers_the_truth_in_about_95_of_100_cases():
    generator = np.random.default_rng(1)
    cells = generator.multinomial(120, (0.12, 0.05, 0.83), size=2000)
    unique, counts = np.unique(cells, axis=0, return_counts=True)
    intervals = [difference_interval(int(w), int(b), 120) for w, b, _ in unique]
    covered = sum(
        n for (low, high), n in zip(intervals, counts, strict=True) if low <= 0.07 <= high
    )
    assert covered / 2000 == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / 2000))


@pytest.mark.parametrize("interval", [accuracy_interval, difference_interval])
def test_no_examples_no_interval(interval):
    with pytest.raises(FuseError, match="of 0 examples is asked for; give at least 1"):
        interval(*[0] * (2 if interval is accuracy_interval else 3))
