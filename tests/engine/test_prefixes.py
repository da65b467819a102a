"""SharedPrefixes against the trie of all rows."""

import random

from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.engine.prefixes import WORTH, find_shared_prefixes

ROWS = st.lists(st.lists(st.integers(0, 2), max_size=8).map(tuple), max_size=30)


def computed(rows, found):
    own = sum(len(row) - shared for row, shared in zip(rows, found.shared, strict=True))
    return own + sum(map(len, found.rows))


def distinct(rows):
    return len({row[:end] for row in rows for end in range(1, len(row) + 1)})


@given(ROWS, st.data())
def test_what_a_row_shares_is_the_beginning_of_its_trunk(rows, data):
    limits = [data.draw(st.integers(0, len(row))) for row in rows]
    found = find_shared_prefixes(rows, limits, worth=0)
    for row, of, shared, limit in zip(rows, found.of, found.shared, limits, strict=True):
        assert 0 <= shared <= limit
        assert not shared or found.rows[of][:shared] == row[:shared]
    # Each token of a trunk is read by more than one row, so it never costs more than it saves.
    assert computed(rows, found) <= sum(map(len, rows))


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
