"""Parts of a search for demonstrations: the division of the train examples, changes of a prompt."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.drawn_examples import balanced_draw
from fuse_lightning.optimizers.demonstration_moves import Composition, changed
from fuse_lightning.optimizers.demonstration_pool import divided, pool_size

LABELS = st.lists(st.sampled_from("abc"), min_size=2, max_size=40)


@given(LABELS, st.data())
def test_both_parts_have_the_same_share_of_each_class(labels, data):
    size = data.draw(st.integers(1, len(labels) - 1))
    shown, scored = divided(labels, size, data.draw(st.integers(0, 99)), "films")
    assert sorted([*shown, *scored]) == [*range(len(labels))]
    assert len(shown) == size
    counts = Counter(labels[number] for number in shown)
    for label, total in Counter(labels).items():
        assert abs(counts[label] - size * total / len(labels)) <= 1.5


def test_divisions_differ_between_seeds_and_targets():
    labels = ["a", "b"] * 20
    first = divided(labels, 20, 0, "films")
    assert first == divided(labels, 20, 0, "films")
    assert first != divided(labels, 20, 1, "films")
    assert first != divided(labels, 20, 0, "books")


@pytest.mark.parametrize(
    ("train", "size", "count", "expected"),
    [(10, None, 4, 5), (11, None, 4, 6), (6, None, 4, 4), (6, 4, 4, 4), (9, 8, 1, 8)],
)
def test_half_of_the_examples_or_as_many_as_are_asked_for_may_be_shown(
    train, size, count, expected
):
    assert (
        pool_size(Target("a", examples=[{"x": n} for n in range(train)]), size, count) == expected
    )


@pytest.mark.parametrize(
    ("size", "count", "message"),
    [
        (None, 6, "count is 6, but target 'a' has 6 train"),
        (6, 2, "pool is 6, but target 'a' has 6 train"),
        (3, 4, "count is 4, but pool only 3"),
    ],
)
def test_impossible_divisions_are_refused(size, count, message):
    with pytest.raises(FuseError, match=message):
        pool_size(Target("a", examples=[{"x": n} for n in range(6)]), size, count)


groups = st.lists(st.integers(1, 5), min_size=1, max_size=3).map(
    lambda sizes: [[10 * group + n for n in range(size)] for group, size in enumerate(sizes)]
)


@given(groups, st.data())
def test_a_draw_holds_all_groups_alike_as_far_as_they_reach(some, data):
    count = data.draw(st.integers(1, sum(map(len, some))))
    drawn = balanced_draw(some, count, random.Random(data.draw(st.integers(0, 99))))
    assert len({*drawn}) == count
    taken = [len({*group} & {*drawn}) for group in some]
    for mine, group in zip(taken, some, strict=True):
        assert mine == len(group) or mine >= max(taken) - 1


@given(groups, st.data())
def test_a_change_gives_other_parts_of_the_same_pool(some, data):
    pool = [number for group in some for number in group]
    count = data.draw(st.integers(1, len(pool)))
    shown = data.draw(st.permutations(pool))[: data.draw(st.integers(1, count))]
    instructions = data.draw(st.integers(1, 3))
    made = Composition(data.draw(st.integers(0, instructions - 1)), tuple(shown))
    rng = random.Random(data.draw(st.integers(0, 10**6)))
    found = changed(made, some, count, instructions, rng)
    assert len({*found.numbers}) == len(found.numbers) <= count
    assert {*found.numbers} <= {*pool}
    assert 0 <= found.instruction < instructions
    assert len(found.numbers) in (len(shown), len(shown) + 1, count)
    if found.instruction != made.instruction:
        assert found.numbers == made.numbers


def test_every_kind_of_change_is_drawn():
    made, rng = Composition(0, (1, 2)), random.Random(0)
    found = [changed(made, [[1, 3], [2, 4]], 3, 2, rng) for _ in range(200)]
    assert Composition(1, (1, 2)) in found
    assert Composition(0, (2, 1)) in found
    assert {Composition(0, (1, 3)), Composition(0, (4, 2))} <= {*found}
    assert {Composition(0, (4, 1, 2)), Composition(0, (1, 2, 3))} <= {*found}
