"""Shared prefixes: common beginnings of many rows of tokens."""

from bisect import bisect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

Row = tuple[int, ...]

WORTH = 32
"""Fewest positions that sharing must save to be worth another forward over all weights."""


@dataclass
class SharedPrefixes:
    """Trunks that are computed once, and the number of tokens each row takes from its trunk.

    Attributes:
        rows: The trunks.
        of: Number of each row's trunk.
        shared: How many tokens each row takes from its trunk; 0 for a row that stands alone.
    """

    rows: list[Row]
    of: list[int]
    shared: list[int]


def find_shared_prefixes(
    rows: Sequence[Row], limits: Sequence[int], worth: int = WORTH
) -> SharedPrefixes:
    """Trunks with which nearly every distinct (prefix, token) pair is computed once.

    Every row follows one trunk and then goes on alone. A trunk follows the tokens that most rows
    agree on. Where others agree on something else they get a trunk of their own if it saves more
    positions than it costs: each is computed from the start.

    Args:
        rows: Rows of tokens.
        limits: How many leading tokens of each row may be shared.
        worth: Fewest positions to save; below it no row shares anything.

    >>> find_shared_prefixes([(1, 2, 3), (1, 2, 4), (7,)], [2, 2, 1], worth=0)
    SharedPrefixes(rows=[(1, 2)], of=[0, 0, 0], shared=[2, 2, 0])
    """
    trunks: list[Row] = []
    of, shared = [0] * len(rows), [0] * len(rows)
    waiting = [sorted(range(len(rows)), key=lambda index: rows[index])]
    while waiting:
        group = waiting.pop()
        trunk: Row = ()
        while len(group) > 1:
            # In sorted order, what the first and the last agree on all of them do.
            depth = _agree(rows, limits, group)
            trunk = rows[group[0]][:depth]
            for index in group:
                of[index], shared[index] = len(trunks), depth
            children = defaultdict(list)
            for index in group:
                if limits[index] > depth:
                    children[rows[index][depth]].append(index)
            group = max(children.values(), key=len, default=[])
            for child in children.values():
                if child is not group and len(child) > 1:
                    length = _agree(rows, limits, child)
                    if (len(child) - 1) * (length - depth) > length:
                        waiting.append(child)
        trunks.append(trunk)
    if sum(shared) - sum(map(len, trunks)) < worth:
        return SharedPrefixes([], [0] * len(rows), [0] * len(rows))
    return SharedPrefixes(trunks, of, shared)


def _agree(rows: Sequence[Row], limits: Sequence[int], group: Sequence[int]) -> int:
    """Number of leading tokens that some rows, in sorted order, share."""
    most = min(limits[index] for index in group)
    return agreement(rows[group[0]][:most], rows[group[-1]][:most])


def agreement(first: Row, second: Row) -> int:
    """Number of equal leading tokens of two rows.

    >>> agreement((1, 2, 3), (1, 2, 4, 5))
    2
    """
    for depth, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return depth
    return min(len(first), len(second))


class RowIndex:
    """Index of rows that finds the one with the longest prefix in common with another row.

    Args:
        rows: The known rows.

    >>> RowIndex([(1, 2, 3), (1, 5), (7,)]).find((1, 2, 4))
    (0, 2)
    """

    def __init__(self, rows: Sequence[Row]) -> None:
        self._order = sorted(range(len(rows)), key=lambda index: rows[index])
        self._ranked = [rows[index] for index in self._order]

    def find(self, row: Row) -> tuple[int, int]:
        """Number of the row with the longest common prefix, and the length of that prefix."""
        place = bisect(self._ranked, row)
        # Of sorted rows, those beside the place of another agree with it longest.
        length, best = max(
            (agreement(self._ranked[near], row), near)
            for near in (place - 1, place)
            if 0 <= near < len(self._ranked)
        )
        return self._order[best], length
