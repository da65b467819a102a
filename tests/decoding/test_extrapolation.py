"""Extrapolated rates against plain searches, formulas by hand and simulation."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from scipy.stats import beta, chi2

from fuse_lightning.decoding.extrapolation import curve, extrapolate
from fuse_lightning.decoding.path_fit import PathFit, maximize
from fuse_lightning.decoding.rates import Grades
from fuse_lightning.errors import FuseError

AMOUNTS = np.array([2.0, 2.5, 3.0, 3.5])
RARE = 0.002
SLOPE = (logit(0.25) - logit(RARE)) / 2.5
"""Of a logit that leads from a rate of 0.002 at amount 1 to one of 0.25 at 3.5."""


def counted(amounts, hits, texts):
    return [
        Grades.counted(float(a), int(h), int(n))
        for a, h, n in zip(amounts, hits, texts, strict=True)
    ]


def profile(groups, at, logit_there):
    """Largest log-likelihood of a logit at an amount, over all slopes of the line."""

    def against(slope):
        total = 0.0
        for each in groups:
            there = logit_there + slope * (each.amount - at)
            total += sum(each.values) * there - len(each.values) * np.logaddexp(0, there)
        return -total

    # No likely slope of these counts is steeper.
    options = {"xatol": 1e-9}
    return -minimize_scalar(against, bounds=(-60, 60), method="bounded", options=options).fun


@settings(max_examples=40)
@given(st.lists(st.integers(1, 19), min_size=2, max_size=4), st.sampled_from([0.0, 1.0, 4.5]))
def test_rate_and_interval_are_those_of_plain_searches(hits, wanted):
    groups = counted(AMOUNTS[: len(hits)], hits, [20] * len(hits))
    fit = PathFit(groups, 1, 0.95)
    rate, low, high = fit.interval(wanted)
    assume(low > expit(-20) and high < expit(20))
    best = profile(groups, wanted, logit(rate))
    assert all(profile(groups, wanted, there) <= best + 1e-6 for there in np.linspace(-20, 20, 21))
    for end in (low, high):
        fall = 2 * (best - profile(groups, wanted, logit(end)))
        assert fall == pytest.approx(chi2.isf(0.05, 1) * fit.widening(wanted), rel=1e-4)
    assert low < rate < high


@given(st.integers(1, 99), st.integers(1, 99))
def test_two_amounts_are_met_exactly(first, second):
    found = extrapolate(counted([2, 3], [first, second], [100, 100]))
    expected = 2 * logit(first / 100) - logit(second / 100)
    assert logit(found.rate) == pytest.approx(expected, abs=1e-5)
    assert found.low < found.rate < found.high
    assert (found.freedom, found.fit_p, found.beyond) == (0, None, 1.0)
    assert found.deviance == pytest.approx(0, abs=1e-6)


def test_the_maximum_of_a_constant_is_the_share():
    coefficients, value = maximize(
        np.ones((3, 1)), np.zeros(3), np.array([1.0, 2.0, 3.0]), np.array([10.0, 10.0, 20.0])
    )
    assert expit(coefficients[0]) == pytest.approx(6 / 40)
    assert value == pytest.approx(6 * math.log(6 / 40) + 34 * math.log(34 / 40))


def test_the_maximum_is_found_from_far_away():
    """Where the curvature is 0 in floating point."""
    hits, texts = np.array([3.0]), np.array([10.0])
    for offset in (-60.0, 60.0, 400.0):
        coefficients, _ = maximize(np.ones((1, 1)), np.array([offset]), hits, texts)
        assert offset + coefficients[0] == pytest.approx(logit(0.3), abs=1e-4)


def draw(generator, texts):
    rates = expit(logit(RARE) + SLOPE * (AMOUNTS - 1))
    return counted(AMOUNTS, generator.binomial(texts, rates), [texts] * len(AMOUNTS))


@pytest.mark.slow
def test_intervals_of_a_rare_rate_cover_it_and_are_narrow():
    generator = np.random.default_rng(0)
    runs, covered, worth = 200, 0, []
    for _ in range(runs):
        found = extrapolate(draw(generator, 100))
        covered += found.low <= RARE <= found.high
        worth.append(found.worth or 0)
    assert covered / runs >= 0.88
    # As many texts of amount 1 hold less than one with the property in the mean.
    assert np.median(worth) > 1.2 * 400


@pytest.mark.slow
def test_a_path_towards_the_rare_end_is_extrapolated_as_well():
    """Amounts below 1, as from a model before a training that made the property rare."""
    texts, amounts = 300, np.array([0.0, 0.25, 0.5, 0.75])
    generator = np.random.default_rng(3)
    covered = 0
    for _ in range(100):
        hits = generator.binomial(texts, expit(1.0 + (logit(RARE) - 1.0) * amounts))
        found = extrapolate(counted(amounts, hits, [texts] * 4))
        covered += found.low <= RARE <= found.high
        assert found.beyond == pytest.approx(1 / 3)
    assert covered >= 88


def clustered(generator, prompts=60, samples=6, likeness=0.3):
    """Texts of prompts that each have their own liking, which all amounts share."""
    ranks = generator.random(prompts)
    of = tuple(np.repeat(np.arange(prompts), samples).tolist())
    groups = []
    for amount in AMOUNTS:
        mean = expit(logit(0.02) + 1.1 * (amount - 1))
        total = 1 / likeness - 1
        own = beta.ppf(ranks, mean * total, (1 - mean) * total)
        values = generator.random((prompts, samples)) < own[:, None]
        groups.append(Grades(float(amount), tuple(values.ravel() * 1.0), of))
    return groups


@pytest.mark.slow
def test_intervals_of_texts_that_share_prompts_are_wider_and_cover_the_rate():
    generator = np.random.default_rng(5)
    runs, covered, naive = 100, 0, 0
    for _ in range(runs):
        groups = clustered(generator)
        found = extrapolate(groups, shape="line")
        plain = extrapolate([Grades(each.amount, each.values) for each in groups], shape="line")
        assert found.widening >= 1
        assert found.rate == pytest.approx(plain.rate, rel=1e-5)
        covered += found.low <= 0.02 <= found.high
        naive += plain.low <= 0.02 <= plain.high
    assert covered / runs >= 0.88
    assert naive / runs < 0.88


def test_repeating_every_text_leaves_the_interval_as_it_was():
    """Copies of a text under its prompt tell nothing new."""
    generator = np.random.default_rng(1)
    rates = expit(logit(RARE) + SLOPE * (AMOUNTS - 1))
    once, often = [], []
    for amount, rate in zip(AMOUNTS, rates, strict=True):
        values = (generator.random(150) < rate) * 1.0
        of = np.arange(150)
        once.append(Grades(float(amount), tuple(values), tuple(of.tolist())))
        copies = tuple(np.repeat(of, 4).tolist())
        often.append(Grades(float(amount), tuple(np.repeat(values, 4)), copies))
    first, second = extrapolate(once, shape="line"), extrapolate(often, shape="line")
    assert second.rate == pytest.approx(first.rate, rel=1e-5)
    assert second.widening == pytest.approx(4, rel=0.4)
    for end in ("low", "high"):
        assert logit(getattr(second, end)) == pytest.approx(logit(getattr(first, end)), abs=0.4)


def test_a_refuted_line_becomes_a_parabola_where_there_are_amounts_enough():
    amounts = [1.5, 2.0, 2.5, 3.0, 3.5]
    rates = [expit(-4 + 5 * (a - 1) - 1.2 * (a - 1) ** 2) for a in amounts]
    groups = counted(amounts, [round(1000 * rate) for rate in rates], [1000] * 5)
    found = extrapolate(groups)
    assert found.shape == "parabola"
    assert logit(found.rate) == pytest.approx(-4, abs=0.15)
    assert found.fit_p > 0.5
    assert any("the fitted parabola turns at amount 3.1" in note for note in found.notes)
    line = extrapolate(groups, shape="line")
    assert line.fit_p < 1e-6
    assert any("the rates do not follow a line" in note for note in line.notes)
    assert line.widening > 5
    straight = draw(np.random.default_rng(0), 400)
    assert extrapolate(straight).shape == "line"
    assert extrapolate(groups[:3]).shape == "line"


def test_counts_that_set_no_limit_on_one_side_say_so():
    found = extrapolate(counted([2, 3, 4], [0, 0, 10], [200] * 3))
    assert (found.rate, found.low, found.worth) == (0.0, 0.0, None)
    assert 0 < found.high < 0.01
    assert any("no limit on one side" in note for note in found.notes)
    other = extrapolate(counted([2, 3], [5, 0], [200] * 2))
    assert other.rate == other.high == 1.0


def test_texts_of_the_wanted_amount_take_no_part():
    groups = draw(np.random.default_rng(0), 200)
    alone = extrapolate(groups)
    assert extrapolate([*groups, Grades.counted(1.0, 50, 100)]) == alone
    assert alone.amounts == tuple(AMOUNTS.tolist())
    assert alone.texts == 800


def test_amounts_without_a_judged_text_are_left_out():
    groups = draw(np.random.default_rng(0), 200)
    assert extrapolate([*groups, Grades(5.0, (math.nan, math.nan))]) == extrapolate(groups)


def test_far_amounts_and_single_prompts_are_named():
    found = extrapolate(counted([4, 5], [20, 60], [100, 100]))
    assert found.beyond == 3
    assert any("lies 3.0 spans of the counted amounts (4 to 5)" in note for note in found.notes)
    assert extrapolate(counted([0, 2], [20, 60], [100, 100])).beyond == 0
    values = (1.0,) * 20 + (0.0,) * 80
    one = [Grades(2.0, values, (7,) * 100), Grades(3.0, values[::-1], (7,) * 100)]
    assert any("all texts have one prompt" in note for note in extrapolate(one).notes)


def test_the_curve_goes_through_the_extrapolated_rate():
    groups = draw(np.random.default_rng(0), 200)
    found = extrapolate(groups)
    points = curve(groups, found, points=6)
    assert [each.amount for each in points] == [1.0, 1.5, 2.0, 2.5, 3.0, 3.5]
    first = points[0]
    assert (first.rate, first.low, first.high) == (found.rate, found.low, found.high)
    rates = [each.rate for each in points]
    assert rates == sorted(rates)
    assert all(each.low < each.rate < each.high for each in points)


@pytest.mark.parametrize(
    ("groups", "options", "said"),
    [
        (counted([2, 3], [0, 0], [9, 9]), {}, "no text of the amounts 2, 3 has the property"),
        (counted([2, 3], [9, 9], [9, 9]), {}, "every text of the amounts 2, 3 has the property"),
        (counted([2, 3], [0, 9], [9, 9]), {}, "jumps from no text to every text"),
        (counted([1, 2], [3, 4], [9, 9]), {}, "from 1 other amount with judged texts; give at"),
        (counted([2, 3], [3, 4], [9, 9]), {"wanted": math.nan}, "wanted amount is nan"),
        (counted([2, 3], [3, 4], [9, 9]), {"shape": "cubic"}, "shape is 'cubic'; give one of auto"),
        (counted([2, 3], [3, 4], [9, 9]), {"shape": "parabola"}, "only 2 of 2 amounts have texts"),
    ],
)
def test_counts_that_say_nothing_are_refused_in_one_line(groups, options, said):
    with pytest.raises(FuseError, match=said):
        extrapolate(groups, **options)
