import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_1samp

from fuse_lightning.diffing.mean_effect import mean_effect


@given(st.lists(st.floats(-10, 10, width=16), min_size=2).filter(lambda each: len({*each}) > 1))
def test_it_is_the_t_test_of_one_sample(values):
    told = ttest_1samp(values, 0)
    low, high = told.confidence_interval(0.95)
    expected = (sum(values) / len(values), low, high, told.pvalue)
    assert tuple(mean_effect(values)) == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_without_any_difference_nothing_is_shown():
    assert tuple(mean_effect([0.0, 0.0, 0.0])) == (0, 0, 0, 1)
