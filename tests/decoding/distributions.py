"""Distributions that property tests draw."""

import math

from hypothesis import strategies as st

from tests.decoding import oracle


@st.composite
def rows(draw, streams, count=1):
    """For each row and each stream log-probabilities of V tokens, V from 1 to 6, with ties."""
    size = draw(st.integers(1, 6))
    logit = st.one_of(
        st.floats(-12, 12, width=32), st.integers(-2, 2).map(float), st.just(-math.inf)
    )
    row = st.lists(logit, min_size=size, max_size=size)
    some = row.filter(lambda logits: max(logits) > -math.inf).map(oracle.log_softmax)
    each = st.lists(some, min_size=streams, max_size=streams)
    return draw(st.lists(each, min_size=count, max_size=count))
