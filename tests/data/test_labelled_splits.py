"""Splits of labelled examples: disjoint, whole, stratified, and by seed and content alone."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.data import LabelledExamples
from fuse_lightning.data.labelled_splits import Splitter, content, distinct_examples, seats
from fuse_lightning.errors import FuseError
from tests.data.labelled import all_of, error_of, parts, rows, target_of, write

words = st.sampled_from(["star", "Star", " box", "box", "red  box", "red box", "ß", "SS"])
examples = st.fixed_dictionaries({"text": words, "label": st.sampled_from("ab")})
sizes = st.dictionaries(st.sampled_from("abcd"), st.integers(3, 60), min_size=2)
shares = st.tuples(st.floats(0.05, 0.4), st.floats(0.05, 0.4))


def pool_of(counts):
    """Distinct examples, so many of each class."""
    return distinct_examples(
        {"text": f"{name}{number}", "label": name}
        for name, count in counts.items()
        for number in range(count)
    ).pool


def divided(pool, counts, test, select, shots=None, seed=0):
    return Splitter(seed, sorted(counts), "it").divide(pool, test, select, shots)


@given(sizes, shares, st.integers(0, 3))
def test_splits_are_disjoint_whole_and_stratified(counts, share, seed):
    pool, whole = pool_of(counts), sum(counts.values())
    wanted = {"test": int(share[0] * whole), "select": int(share[1] * whole)}
    try:
        splits = divided(pool, counts, **wanted, seed=seed)
    except FuseError as error:
        # Some small classes cannot be shared out so; then nothing is divided by halves.
        if "for train" in str(error):
            return
        raise
    keys = [key for split in splits.values() for key in split]
    assert sorted(keys) == sorted(pool)
    for split, count in wanted.items():
        assert len(splits[split]) == count
        found = Counter(example["label"] for example in splits[split].values())
        for name, size in counts.items():
            assert abs(found[name] - count * size / whole) <= 1


@pytest.mark.parametrize(
    ("counts", "said"),
    [({"": 2}, "but one stays for train"), ({"a": 2, "b": 2}, "but each class keeps one")],
)
def test_an_amount_that_leaves_nothing_for_train(counts, said):
    with pytest.raises(FuseError, match=f"data.test asks for 9 of .* examples of it, {said}"):
        divided(pool_of(counts), counts, test=9, select=0)


@given(sizes, st.randoms(), st.integers(0, 3))
def test_splits_do_not_depend_on_the_order_of_rows(counts, shuffled, seed):
    pool = pool_of(counts)
    items = [*pool.items()]
    shuffled.shuffle(items)
    whole = sum(counts.values())
    first, again = (
        divided(each, counts, whole // 10, whole // 10, 1, seed) for each in (pool, dict(items))
    )
    assert {name: [*split.items()] for name, split in first.items()} == {
        name: [*split.items()] for name, split in again.items()
    }


@given(st.lists(examples, max_size=12), st.randoms())
def test_repetitions_are_one_in_any_order(given_examples, shuffled):
    found = distinct_examples(given_examples)
    keys = [content(example) for example in given_examples]
    assert {*found.pool} <= {*keys}
    assert len({*keys}) == len(found.pool) + len(found.contested)
    for key, example in found.pool.items():
        same = [each for each in given_examples if content(each) == key]
        assert example in same
        assert {each["label"] for each in same} == {example["label"]}
    again = [*given_examples]
    shuffled.shuffle(again)
    assert distinct_examples(again) == found


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("caf\u00e9", "cafe\u0301"),
        ("\u212b", "\u00e5"),
        ("\uac00", "\u1100\u1161"),
        ("\u1fb3", "\u03b1\u0399"),
    ],
)
def test_a_text_is_one_however_unicode_writes_it(one, other):
    content_of = [
        {"text": f"{text} {n}", "label": "ab"[n % 2]} for n in range(9) for text in (one, other)
    ]
    found = distinct_examples(content_of)
    assert (len(found.pool), found.repeated) == (9, 9)


@given(sizes, st.data())
def test_seats_are_within_one_and_never_beyond_the_room(counts, data):
    wanted = data.draw(st.integers(0, sum(counts.values())))
    found = seats(wanted, counts, counts, "test", "it")
    assert sum(found.values()) == wanted
    for name, count in counts.items():
        assert 0 <= found[name] <= count
        assert abs(found[name] - wanted * count / sum(counts.values())) < 1
    if wanted * min(counts.values()) >= sum(counts.values()):
        assert all(found.values())


def test_a_small_class_has_a_seat_before_large_ones_have_more():
    counts = {"a": 79, "b": 79, "c": 2}
    # Their shares are 15.8, 15.8 and 0.4.
    assert seats(32, counts, counts, "test", "it") == {"a": 16, "b": 15, "c": 1}


def test_the_same_examples_of_any_file_are_divided_alike():
    content_rows = rows(60)
    first = target_of(write(content_rows, "a.jsonl"))
    mixed = random.Random(1).sample(content_rows, 60)
    assert parts(target_of(write(mixed, "b.csv"))) == parts(first)


def test_splits_stay_as_they_are():
    """Splits of old runs are found again, also on another machine."""
    target = target_of(rows(10))
    assert [[int(each["text"][-1]) for each in part] for part in parts(target)] == [
        [7, 0, 4, 6, 9, 3],
        [5, 2],
        [1, 8],
    ]


def test_the_seed_matters():
    tests = [target_of(rows(40), seed=seed).test for seed in range(4)]
    assert len({frozenset(example["text"] for example in test) for test in tests}) == 4


class TestAmounts:
    def test_usual_shares(self):
        assert [*map(len, parts(target_of(rows(100))))] == [60, 20, 20]

    @pytest.mark.parametrize(
        ("options", "sizes"),
        [
            ({"select": 10, "test": 30}, [60, 10, 30]),
            ({"select": 0.1, "test": 0.5}, [40, 10, 50]),
            ({"select": 0, "test": 0.0}, [100, 0, 0]),
            ({"select": 2, "test": 96}, [2, 2, 96]),
            ({"shots": 4}, [8, 20, 20]),
            ({"shots": 1, "select": 0}, [2, 0, 20]),
        ],
    )
    def test_what_is_wanted(self, options, sizes):
        target = target_of(rows(100), **options)
        assert [*map(len, parts(target))] == sizes
        for part in parts(target):
            assert len({*Counter(each["label"] for each in part).values()}) <= 1

    def test_shots_change_neither_select_nor_test(self):
        whole, few = target_of(rows(100)), target_of(rows(100), shots=3)
        assert (few.select, few.test) == (whole.select, whole.test)
        assert all(example in whole.examples for example in few.examples)

    def test_what_no_split_takes_is_told(self, caplog):
        caplog.set_level("INFO")
        target_of(rows(100), shots=5)
        assert caplog.messages[-1].endswith("left out: 50 unused")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"shots": 0}, "data.shots is 0; it must be at least 1"),
            ({"stream": 0}, "data.stream is 0; it must be at least 1"),
            ({"test": -1}, "data.test is -1; give a whole number of examples, or a share"),
            ({"select": 1.0}, "data.select is 1.0; give a whole number of examples, or a share"),
            ({"select": float("nan")}, "data.select is nan; give a whole number"),
            ({"shots": 13}, "data.shots is 13, but class 'bad' of table 'data.jsonl' has 12"),
            ({"test": 40}, "data.test asks for 40 of 40 examples of table 'data.jsonl', but each"),
            ({"test": 0.6, "select": 0.4}, "data.select asks for 16 of 40 examples of table"),
            ({"test": 1}, "class 'good' of table 'data.jsonl' has no example in test (1 in all)"),
            ({"test": 0.01}, "class 'bad' of table 'data.jsonl' has no example in test (0 in all)"),
        ],
    )
    def test_what_cannot_be(self, options, message):
        assert message in error_of(rows(40), **options)


class TestOtherSources:
    @pytest.fixture(autouse=True)
    def files(self):
        write(rows(40), "all.jsonl")
        write(rows(60)[40:], "new.jsonl")
        write(rows(44)[36:], "old.jsonl")

    def test_a_split_of_its_own(self):
        target = target_of("all.jsonl", test_from="new.jsonl")
        assert [*map(len, parts(target))] == [32, 8, 20]
        assert {int(each["text"].split()[-1]) for each in target.test} == {*range(40, 60)}
        target = target_of("all.jsonl", select_from="new.jsonl", test=0)
        assert [*map(len, parts(target))] == [40, 20, 0]

    def test_so_many_of_it(self):
        target = target_of("all.jsonl", test_from="new.jsonl", test=6, select=0)
        assert [*map(len, parts(target))] == [40, 0, 6]
        target = target_of("all.jsonl", test_from="new.jsonl", test=0.5, select=0)
        assert [*map(len, parts(target))] == [40, 0, 10]
        assert (
            "data.test asks for 21 examples for table 'all.jsonl', but data.test_from has 20; give"
            in error_of("all.jsonl", test_from="new.jsonl", test=21)
        )

    @pytest.mark.parametrize("split", ["select", "test"])
    def test_none_of_it_is_a_contradiction(self, split):
        told = error_of("all.jsonl", **{f"{split}_from": "new.jsonl", split: 0})
        assert told == f"data.{split} is 0, but data.{split}_from is given; leave one of them out"

    def test_test_examples_that_stand_in_train_are_an_error(self):
        message = error_of("all.jsonl", test_from="old.jsonl", select=0)
        assert message == (
            "4 test examples of table 'old.jsonl' stand in train too: 'text number 36', 'text "
            "number 37', 'text number 38', 'text number 39'; give other sources, or drop them "
            "from test by data.on_error: skip"
        )
        assert "40 test examples" in error_of("all.jsonl", test_from="all.jsonl")

    def test_they_may_be_dropped(self, caplog):
        caplog.set_level("INFO")
        target = target_of("all.jsonl", test_from="old.jsonl", select=0, on_error="skip")
        assert [*map(len, parts(target))] == [40, 0, 4]
        assert caplog.messages[0].startswith("4 test examples of table 'old.jsonl' stand in train")
        assert "4 in two splits" in caplog.messages[-1]

    def test_two_sources_of_the_same_examples_are_an_error(self):
        told = error_of("all.jsonl", select_from="new.jsonl", test_from="new.jsonl")
        assert "20 test examples of table 'new.jsonl' stand in select too" in told

    @pytest.mark.parametrize("split", ["select", "test"])
    @given(st.integers(0, 20))
    def test_no_example_stands_in_two_splits(self, split, seed):
        data = LabelledExamples("all.jsonl", **{f"{split}_from": "old.jsonl"}, seed=seed)
        with pytest.raises(FuseError, match=f"{split} examples of table 'old.jsonl' stand in"):
            data.find_targets()
        (target,) = LabelledExamples(
            "all.jsonl", **{f"{split}_from": "old.jsonl"}, seed=seed, on_error="skip"
        ).find_targets()
        texts = [each["text"] for each in all_of(target)]
        assert len(texts) == len({*texts}) == 44

    def test_shots_that_no_split_reads_may_be_tested(self):
        target = target_of("all.jsonl", test_from="old.jsonl", shots=1, select=0, on_error="skip")
        assert len(target.test) >= 6

    def test_other_fields_are_an_error(self):
        write(rows(20, text="premise"), "other.jsonl")
        assert "has no column of a usual name for texts" in (
            error_of("all.jsonl", test_from="other.jsonl")
        )
        both = [{**row, "title": "a"} for row in rows(20)]
        told = error_of("all.jsonl", test_from=write(both, "both.jsonl"))
        assert "table 'both.jsonl' has the fields title, text, but table 'all.jsonl' has text" in (
            told
        )

    def test_a_class_that_one_source_lacks(self):
        write(rows(20, classes=("bad", "good", "odd")), "three.jsonl")
        told = error_of("all.jsonl", test_from="three.jsonl", on_error="skip")
        assert "all 20 test examples of table 'three.jsonl' stand in train or select too" in told
        write([*rows(60)[40:], {"text": "new", "label": "odd"}], "three.jsonl")
        told = error_of("all.jsonl", test_from="three.jsonl")
        assert "class 'odd' of table 'all.jsonl' has no example in" in told
