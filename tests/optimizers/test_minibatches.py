"""Minibatches of examples."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.data import Target
from fuse_lightning.optimizers.minibatches import choosing, minibatch


def target(train, select=0, name="a"):
    return Target(
        name,
        examples=[{"x": n} for n in range(train)],
        select=[{"x": train + n} for n in range(select)],
    )


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 5), st.integers(0, 99))
def test_a_turn_holds_each_example_at_most_once(count, size, turn, seed):
    steps = max(1, count // size)
    found = [minibatch(target(count, 3), turn * steps + step, size, seed) for step in range(steps)]
    assert {len(numbers) for numbers in found} == {min(size, count)}
    times = Counter(number for numbers in found for number in numbers)
    assert max(times.values()) == 1
    assert max(times) < count


def test_orders_differ_between_turns_targets_and_seeds():
    first = minibatch(target(50), 0, 40, seed=0)
    others = [
        minibatch(target(50), 1, 40, seed=0),
        minibatch(target(50), 0, 40, seed=1),
        minibatch(target(50, name="b"), 0, 40, seed=0),
    ]
    assert all(other != first for other in others)
    assert minibatch(target(50), 0, 40, seed=0) == first


def test_all_examples_are_read_without_a_size():
    assert [*minibatch(target(5, 4), 7, None, seed=0)] == [*range(5)]
    assert [*minibatch(target(5), 7, 9, seed=0)] == [*range(5)]


def test_prompts_are_chosen_by_select_examples_where_there_are_some():
    assert sorted(choosing(target(5, 4), seed=0)) == [5, 6, 7, 8]
    assert sorted(choosing(target(5), seed=0)) == [*range(5)]
    assert choosing(target(5, 40), seed=0) != choosing(target(5, 40), seed=1)


@given(st.integers(1, 9), st.integers(0, 20))
def test_only_some_examples_may_be_read(size, step):
    some = [1, 4, 5, 9]
    found = minibatch(target(12, 3), step, size, seed=0, among=some)
    assert len({*found}) == min(size, 4)
    assert {*found} <= {*some}
    assert sorted(choosing(target(12), seed=0, among=some)) == some
    assert sorted(choosing(target(12, 2), seed=0, among=some)) == [12, 13]
