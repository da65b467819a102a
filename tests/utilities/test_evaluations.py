"""Number of evaluations, against a plain set of pairs."""

import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.utilities.evaluations import Evaluations

states = st.one_of(
    st.lists(st.integers(0, 9), min_size=1, max_size=3).map(tuple), st.sampled_from(["a", "b", "ü"])
)
asked = st.lists(
    st.tuples(states, st.lists(st.integers(0, 300), max_size=5), st.booleans()), max_size=12
)


def through_a_file(evaluations):
    stream = io.BytesIO()
    torch.save(evaluations.state_dict(), stream)
    stream.seek(0)
    return Evaluations.from_state(torch.load(stream, weights_only=True))


@given(asked, st.integers(0, 12))
def test_distinct_pairs_count_once_also_after_a_stop(calls, stop):
    found, known, more = Evaluations(), set(), 0
    for place, (state, examples, again) in enumerate(calls):
        if place == stop:
            found = through_a_file(found)
        pairs = {(state, number) for number in examples}
        more += len(pairs & known) if again else 0
        known |= pairs
        found.add(state, examples, again=again)
        assert found.count == len(known) + more


def test_what_is_forgotten_counts_again():
    found = Evaluations()
    found.add((1, 2))
    found.forget()
    found.add((1, 2))
    assert found.count == 2
    assert through_a_file(found).count == 2


@pytest.mark.parametrize(
    "change",
    [
        {"count": -1},
        {"count": 1.5},
        {"known": torch.zeros(2, 3, dtype=torch.uint8)},
        {"known": torch.zeros(2, 9)},
    ],
)
def test_what_is_no_such_state_is_refused(change):
    with pytest.raises((TypeError, ValueError)):
        Evaluations.from_state(Evaluations().state_dict() | change)
