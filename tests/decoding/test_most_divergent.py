"""The most divergent of many texts."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.decoding import ScoredText, Tokens
from fuse_lightning.decoding.most_divergent import MostDivergent
from fuse_lightning.errors import FuseError


def kept(values, most, measure):
    found = MostDivergent(most, measure)
    for number, value in enumerate(values):
        tokens = Tokens(("a",), (0,), {"js": (value,)})
        found.add(ScoredText("", "a", tokens, ("A", "B"), number))
    return [text.prompt_number for text in found.texts]


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0, math.inf, math.nan])), st.integers(0, 5))
def test_they_are_the_first_of_the_sorted_texts(values, most):
    numbers = range(len(values))
    order = sorted(numbers, key=lambda n: math.inf if math.isnan(values[n]) else -values[n])
    assert kept(values, most, "js") == order[:most]
    assert kept(values, most, "none") == [*numbers][:most]


def test_another_measure_is_refused():
    with pytest.raises(FuseError, match="sort is 'l2'; give one of kl"):
        MostDivergent(1, "l2")
