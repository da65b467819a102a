"""Shared prefixes: common beginnings of many rows of tokens."""

from bisect import bisect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

Row = tuple[int, ...]

WORTH = 32
"""Fewest positions that sharing must save to be worth another forward over all weights."""
GAIN = 0.1
"""Smallest share of the positions that trunks behind trunks must save: they cost more forwards."""


@dataclass
class SharedPrefixes:
    """Trunks that are computed once, and the number of tokens each row takes from its trunk.

    Attributes:
        rows: The trunks.
        of: Number of each row's trunk.
        shared: How many tokens each row takes from its trunk; 0 for a row that stands alone.
        above: Number of the trunk that each trunk goes on from; -1 for one computed from the start.
        begun: How many tokens each trunk takes from that trunk.
    """

    rows: list[Row]
    of: list[int]
    shared: list[int]
    above: list[int]
    begun: list[int]

    def computed(self, rows: Sequence[Row]) -> int:
        """Number of positions that forwards over the trunks and over the ends of rows read."""
        own = sum(len(row) - shared for row, shared in zip(rows, self.shared, strict=True))
        return own + sum(map(len, self.rows)) - sum(self.begun)

    def passing(self) -> list[list[tuple[int, int]]]:
        """Rows that begin with each trunk, and how many of its tokens each of them takes."""
        found: list[list[tuple[int, int]]] = [[] for _ in self.rows]
        for index, shared in enumerate(self.shared):
            trunk, taken = self.of[index], shared
            while taken:
                found[trunk].append((index, taken))
                trunk, taken = self.above[trunk], self.begun[trunk]
        return found


def find_shared_prefixes(
    rows: Sequence[Row],
    limits: Sequence[int],
    worth: int = WORTH,
    *,
    nested: bool = False,
    bounds: Sequence[int] | None = None,
) -> SharedPrefixes:
    """Trunks with which nearly every distinct (prefix, token) pair is computed once.

    Every row follows one trunk and then goes on alone. A trunk follows the tokens that most rows
    agree on. Where others agree on something else they get a trunk of their own if it saves more
    positions than it costs: each is computed from the start. With ``nested`` a trunk may go on
    from another one, as labels behind examples behind prompts need it.

    Args:
        rows: Rows of tokens.
        limits: How many leading tokens of each row may be shared.
        worth: Fewest positions to save; below it no row shares anything.
        nested: Whether trunks may go on from others, if that saves a share of :data:`GAIN`.
        bounds: Number of leading tokens of each row that no trunk may hold together with tokens
            behind them, as these have gradients.

    >>> find_shared_prefixes([(1, 2, 3), (1, 2, 4), (7,)], [2, 2, 1], worth=0)
    SharedPrefixes(rows=[(1, 2)], of=[0, 0, 0], shared=[2, 2, 0], above=[-1], begun=[0])
    """
    order = sorted(range(len(rows)), key=lambda index: rows[index])
    bounds = limits if bounds is None else bounds
    found = _trunks(rows, limits, bounds, order, nested=False)
    if nested:
        deep, flat = _trunks(rows, limits, bounds, order, nested=True), found.computed(rows)
        saved = flat - deep.computed(rows)
        found = deep if saved >= max(worth, GAIN * flat) else found
    if sum(map(len, rows)) - found.computed(rows) < worth:
        none = [0] * len(rows)
        return SharedPrefixes([], none, [*none], [], [])
    return found


def _trunks(
    rows: Sequence[Row],
    limits: Sequence[int],
    bounds: Sequence[int],
    order: list[int],
    *,
    nested: bool,
) -> SharedPrefixes:
    """Trunks of rows, whose numbers are given in sorted order."""
    found = SharedPrefixes([], [0] * len(rows), [0] * len(rows), [], [])
    waiting = [(order, -1, 0)]
    while waiting:
        group, above, begun = waiting.pop()
        number = len(found.rows)
        trunk: Row = ()
        while len(group) > 1:
            # In sorted order, what the first and the last agree on all of them do.
            depth, bound = _agree(rows, limits, group), bounds[group[0]]
            depth = min(depth, bound) if begun < bound else depth
            trunk = rows[group[0]][:depth]
            for index in group:
                found.of[index], found.shared[index] = number, depth
            children = defaultdict(list)
            for index in group:
                if limits[index] > depth:
                    children[rows[index][depth]].append(index)
            crossing = [
                token for token, child in children.items() if begun < depth == bounds[child[0]]
            ]
            group = max(
                (child for token, child in children.items() if token not in crossing),
                key=len,
                default=[],
            )
            for token, child in children.items():
                if child is not group and len(child) > 1:
                    length = _agree(rows, limits, child)
                    if nested and depth:
                        waiting.append((child, number, depth))
                    elif token not in crossing and (len(child) - 1) * (length - depth) > length:
                        waiting.append((child, -1, 0))
        found.rows.append(trunk)
        found.above.append(above)
        found.begun.append(begun)
    return found


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
