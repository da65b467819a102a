import torch
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.diffing.moved_tokens import moved_tokens
from tests.decoding.distributions import rows
from tests.diffing import mining_oracle as oracle


@given(
    st.integers(1, 4).flatmap(lambda count: rows(2, count)), st.floats(0.01, 1), st.integers(1, 4)
)
def test_moved_tokens_are_those_of_the_definition(drawn, alpha, top):
    a, b = (torch.tensor([row[stream] for row in drawn], dtype=torch.double) for stream in (0, 1))
    found = moved_tokens(a, b, alpha, top)
    expected = [
        (place, token, oracle.ratio(*row, token))
        for place, row in enumerate(drawn)
        for token in oracle.plausible(*row, alpha)
    ]
    columns = found.positions, found.ids, found.log_ratios
    assert [*zip(*(each.tolist() for each in columns), strict=True)] == expected
    for chosen, sign in (found.up, 1), (found.down, -1):
        entries = zip(found.positions[chosen].tolist(), found.ids[chosen].tolist(), strict=True)
        assert {*entries} == {
            (place, token)
            for place, row in enumerate(drawn)
            for token in oracle.leaders(*row, alpha, top, sign)
        }


def test_a_token_that_neither_would_write_never_counts():
    """Its ratio is by far the largest."""
    a = torch.tensor([[0.6, 0.4 - 1e-6, 1e-6]]).log()
    b = torch.tensor([[0.5, 0.5, 1e-12]]).log()
    found = moved_tokens(a, b, alpha=0.1, top=1)
    assert found.ids.tolist() == [0, 1]
    assert found.ids[found.up].tolist() == [0]
    assert found.ids[found.down].tolist() == [1]


def test_what_one_of_the_two_would_write_counts():
    a = torch.tensor([[0.98, 0.01, 0.01]]).log()
    b = torch.tensor([[0.02, 0.97, 0.01]]).log()
    assert moved_tokens(a, b, alpha=0.5, top=1).ids.tolist() == [0, 1]
