"""SharedPrefixes against the trie of all rows."""

import random

from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.engine.prefixes import WORTH, find_shared_prefixes

ROWS = st.lists(st.lists(st.integers(0, 2), max_size=8).map(tuple), max_size=30)


def computed(rows, found):
    own = sum(len(row) - shared for row, shared in zip(rows, found.shared, strict=True))
    trunks = zip(found.rows, found.begun, strict=True)
    return own + sum(len(trunk) - begun for trunk, begun in trunks)


def distinct(rows):
    return len({row[:end] for row in rows for end in range(1, len(row) + 1)})


@given(ROWS, st.booleans(), st.data())
def test_what_a_row_shares_is_the_beginning_of_its_trunk(rows, nested, data):
    limits = [data.draw(st.integers(0, len(row))) for row in rows]
    found = find_shared_prefixes(rows, limits, worth=0, nested=nested)
    for row, of, shared, limit in zip(rows, found.of, found.shared, limits, strict=True):
        assert 0 <= shared <= limit
        assert not shared or found.rows[of][:shared] == row[:shared]
    # Each token of a trunk is read by more than one row, so it never costs more than it saves.
    assert computed(rows, found) <= sum(map(len, rows))


@given(ROWS, st.data())
def test_a_trunk_begins_with_a_part_of_the_one_above_it(rows, data):
    limits = [data.draw(st.integers(0, len(row))) for row in rows]
    found = find_shared_prefixes(rows, limits, worth=0, nested=True)
    for trunk, above, begun in zip(found.rows, found.above, found.begun, strict=True):
        assert (above >= 0) == (begun > 0)
        assert begun < max(1, len(trunk))
        assert not begun or found.rows[above][:begun] == trunk[:begun]
    flat = find_shared_prefixes(rows, limits, worth=0)
    assert computed(rows, found) == found.computed(rows) <= computed(rows, flat)


@given(ROWS, st.booleans(), st.integers(0, 4))
def test_no_trunk_holds_tokens_on_both_sides_of_a_bound(rows, nested, bound):
    bounds = [min(bound, len(row)) for row in rows]
    found = find_shared_prefixes(
        rows, [len(row) for row in rows], worth=0, nested=nested, bounds=bounds
    )
    for trunk, begun in zip(found.rows, found.begun, strict=True):
        assert len(trunk) <= bound or begun >= bound
    assert computed(rows, found) <= sum(map(len, rows))


@given(ROWS, st.booleans(), st.data())
def test_each_row_passes_its_tokens_through_the_trunks_in_order(rows, nested, data):
    limits = [data.draw(st.integers(0, len(row))) for row in rows]
    found = find_shared_prefixes(rows, limits, worth=0, nested=nested)
    covered = [[] for _ in rows]
    for trunk, (begun, through) in enumerate(zip(found.begun, found.passing(), strict=True)):
        for index, taken in through:
            assert found.rows[trunk][:taken] == rows[index][:taken]
            covered[index] += range(begun, taken)
    assert [sorted(places) for places in covered] == [[*range(n)] for n in found.shared]


@given(ROWS)
def test_little_is_not_worth_a_trunk(rows):
    found = find_shared_prefixes(rows, [len(row) for row in rows])
    assert computed(rows, found) <= sum(map(len, rows)) - (WORTH if found.rows else 0)


def test_appended_tokens_cost_themselves():
    rng = random.Random(0)
    beams = [(1, 2, 3, *rng.choices(range(9), k=6)) for _ in range(4)]
    rows = [(*beam, token, 0) for beam in beams for token in range(64)]
    found = find_shared_prefixes(rows, [len(row) - 1 for row in rows])
    assert len(found.rows) == 4
    assert computed(rows, found) <= 1.05 * distinct(rows)


def test_swapped_tokens_cost_what_follows_them():
    rng = random.Random(0)
    parent = [rng.randrange(100) for _ in range(18)]
    rows = []
    for _ in range(128):
        row = [*parent]
        row[rng.randrange(len(row))] = rng.randrange(100, 200)
        rows.append((1, 2, 3, *row, 4, 5, 6))
    found = find_shared_prefixes(rows, [len(row) for row in rows])
    assert len(found.rows) == 1
    assert computed(rows, found) <= 1.05 * distinct(rows)


def test_labels_behind_examples_behind_prompts_cost_their_distinct_tokens():
    rng = random.Random(0)
    parent, examples = rng.choices(range(100), k=8), [rng.choices(range(100), k=20)]
    examples += [rng.choices(range(100), k=20) for _ in range(31)]
    rows = []
    for _ in range(64):
        prompt = [*parent]
        prompt[rng.randrange(8)] = rng.randrange(100, 9000)
        for example in examples:
            rows += [(0, *prompt, *example, *label) for label in ((1, 2, 3), (4, 5, 6))]
    rows = [*dict.fromkeys(rows)]
    limits = [len(row) for row in rows]
    found = find_shared_prefixes(rows, limits, nested=True)
    assert computed(rows, found) <= 1.02 * distinct(rows)
    # Trunks from the start alone would read nearly every example once for each label.
    assert computed(rows, find_shared_prefixes(rows, limits)) > 1.5 * distinct(rows)
