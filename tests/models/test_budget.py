"""Batches that memory holds."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.models.budget import SPARED, Budget


def memory_error(kind):
    if kind == "cuda":
        return torch.OutOfMemoryError("CUDA out of memory.")
    return RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to")


@given(st.lists(st.integers(1, 9)), st.integers(1, 40))
def test_every_row_is_visited_once_and_no_batch_is_larger(lengths, tokens):
    lengths.sort()
    seen = []

    def call(rows):
        seen.extend(range(rows.start, rows.stop))
        width = max(lengths[rows])
        assert rows.stop - rows.start == 1 or width * (rows.stop - rows.start) <= tokens

    Budget(tokens).run(lengths, call)
    assert seen == [*range(len(lengths))]


def test_padding_ends_a_batch():
    sizes = []
    lengths = [10] * 50 + [20] * 50
    Budget(10**6).run(lengths, lambda rows: sizes.append(rows.stop - rows.start), waste=0.1)
    assert sizes == [50, 50]
    sizes.clear()
    # Little is padded, so it is not worth another forward.
    Budget(10**6).run([5, 6, 7], lambda rows: sizes.append(rows.stop - rows.start), waste=0.0)
    assert sizes == [3]
    assert SPARED > 3


@pytest.mark.parametrize("kind", ["cuda", "cpu"])
def test_memory_that_runs_out_halves_the_batch_for_good(kind):
    budget, sizes = Budget(64), []

    def call(rows):
        if rows.stop - rows.start > 5:
            raise memory_error(kind)
        sizes.append(rows.stop - rows.start)

    budget.run([1] * 12, call)
    assert sizes == [3, 3, 3, 3]
    assert budget.tokens == 3
    sizes.clear()
    budget.run([1] * 6, call)
    assert sizes == [3, 3]


def test_what_memory_never_holds_is_an_error():
    def call(rows):
        raise memory_error("cpu")

    with pytest.raises(RuntimeError, match="can't allocate"):
        Budget(8).run([1, 1, 1], call)


def test_other_errors_are_not_caught():
    calls = []

    def call(rows):
        calls.append(rows)
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        Budget(8).run([1, 1, 1], call)
    assert len(calls) == 1
