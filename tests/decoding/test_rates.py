"""Rates and their intervals against other code, formulas by hand and simulation."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.decoding.rates import Grades, design_effect, rate_of, rates, share_interval
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.intervals import accuracy_interval

NAN = math.nan


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_independent_texts_have_wilsons_interval(counts):
    hits, texts = counts
    rate = rate_of(Grades.counted(1.0, hits, texts))
    assert (rate.low, rate.high) == pytest.approx(accuracy_interval(hits, texts), abs=1e-12)
    assert rate.rate == hits / texts
    assert (rate.texts, rate.prompts, rate.effect) == (texts, texts, 1.0)


@given(st.integers(2, 30), st.integers(2, 6), st.data())
def test_texts_that_repeat_each_other_tell_no_more_than_one_of_each_prompt(prompts, samples, data):
    ones = data.draw(st.lists(st.booleans(), min_size=prompts, max_size=prompts))
    values = [float(each) for each in ones for _ in range(samples)]
    of = [number for number in range(prompts) for _ in range(samples)]
    effect = design_effect(Grades(1.0, tuple(values), tuple(of)))
    if len({*ones}) == 1:
        assert effect is None
    else:
        # By hand: G / (G - 1) for the mean that is estimated, times the size of a cluster.
        assert effect == pytest.approx(samples * prompts / (prompts - 1))


@given(st.integers(0, 10**6))
def test_the_design_effect_is_the_variance_of_the_ratio_of_sums(seed):
    generator = np.random.default_rng(seed)
    sizes = generator.integers(1, 6, size=7)
    of = np.repeat(np.arange(7), sizes)
    values = generator.random(len(of)).round(2)
    rate = values.sum() / len(of)
    apart = [values[of == g].sum() - rate * (of == g).sum() for g in range(7)]
    variance = 7 / 6 * sum(each**2 for each in apart) / len(of) ** 2
    expected = max(1.0, variance / (rate * (1 - rate) / len(of)))
    if len(of) > 7:
        got = design_effect(Grades(1.0, tuple(values), tuple(of.tolist())))
        assert got == pytest.approx(expected)


def test_the_interval_of_alike_texts_covers_the_rate_where_one_of_independent_texts_does_not():
    generator = np.random.default_rng(0)
    prompts, samples, truth, runs = 40, 10, 0.2, 400
    of = tuple(np.repeat(np.arange(prompts), samples).tolist())
    covered = {"clustered": 0, "independent": 0}
    for _ in range(runs):
        own = generator.beta(0.5, 2.0, size=prompts)
        values = tuple((generator.random((prompts, samples)) < own[:, None]).ravel() * 1.0)
        clustered = rate_of(Grades(1.0, values, of))
        independent = rate_of(Grades(1.0, values))
        covered["clustered"] += clustered.low <= truth <= clustered.high
        covered["independent"] += independent.low <= truth <= independent.high
    assert covered["clustered"] / runs > 0.91
    assert covered["independent"] / runs < 0.8


def test_unjudged_texts_are_told_and_count_nowhere_else():
    rate = rate_of(Grades(2.0, (1.0, NAN, 0.0, NAN), (0, 0, 1, 2)))
    assert (rate.texts, rate.prompts, rate.hits, rate.rate, rate.unjudged) == (2, 2, 1.0, 0.5, 2)
    none = rate_of(Grades(2.0, (NAN, NAN)))
    assert (none.texts, none.rate, none.low, none.high, none.unjudged) == (0, None, 0.0, 1.0, 2)


def test_graded_texts_have_the_mean_grade():
    rate = rate_of(Grades(1.0, (0.25, 0.5, 0.75, 0.1)))
    assert rate.hits == pytest.approx(1.6)
    assert rate.rate == pytest.approx(0.4)


def test_no_hit_takes_the_design_effect_of_the_other_amounts():
    of = (0, 0, 1, 1, 2, 2)
    none = Grades(1.0, (0.0,) * 6, of)
    some = Grades(2.0, (1.0, 1.0, 0.0, 0.0, 0.0, 0.0), of)
    first, second = rates([some, none])
    assert first.amount == 1.0
    assert first.effect == second.effect == pytest.approx(3.0)
    assert first.low == 0.0
    assert first.high > rate_of(none).high


def test_one_prompt_alone_has_the_interval_of_independent_texts():
    rate = rate_of(Grades(1.0, (1.0, 0.0, 0.0, 0.0), (5, 5, 5, 5)))
    assert (rate.prompts, rate.effect) == (1, 1.0)
    assert (rate.low, rate.high) == share_interval(0.25, 4)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Grades(math.inf, ()), "amount is inf; it must be a finite number"),
        (lambda: Grades(1.0, (1.0,), (0, 1)), "has 1 grades of texts, but numbers of 2 prompts"),
        (lambda: Grades(1.0, (1.5,)), "grade of a text of amount 1 is 1.5"),
        (lambda: Grades.counted(1.0, 5, 4), "5 of 4 texts of amount 1 are said"),
        (lambda: rates([Grades.counted(1, 1, 2)] * 2), "amount 1 is given twice"),
        (lambda: rates([Grades.counted(1, 1, 2)], level=95), "level is 95; it must be"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(make, said):
    with pytest.raises(FuseError, match=said):
        make()
