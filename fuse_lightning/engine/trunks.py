"""Forwards over trunks that go on from each other, and over what follows them."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from operator import itemgetter

import torch

from fuse_lightning.engine.kv_reuse import Suffixes, read_ends, read_on
from fuse_lightning.engine.network import Network
from fuse_lightning.engine.parts import PADDING, Part, trunk_part, visit_ends
from fuse_lightning.engine.prefixes import Row, SharedPrefixes
from fuse_lightning.engine.remembered import CachedRows


class Trunks:
    """Forwards over the trunks of rows, each followed by those over what goes on from them.

    Args:
        model: The model.
        rows: The rows.
        found: Their trunks.
        limits: How many leading tokens of each row need no gradient.
        visit: Callback, see :func:`for_each_batch`.
        keep: Whether trunks go on from those of the last call, and stay for the next.
    """

    def __init__(
        self,
        model: Network,
        rows: Sequence[Row],
        found: SharedPrefixes,
        limits: Sequence[int],
        visit: Callable[[Part], None],
        *,
        keep: bool,
    ) -> None:
        self.model = model
        self.rows = rows
        self.found = found
        self.visit = visit
        self.keep = keep
        self.passing = found.passing()
        # Rows take at least one token of a trunk, so that all of them or none has a gradient there.
        pairs = zip(found.begun, self.passing, strict=True)
        self.free = [bool(through) and limits[through[0][0]] <= begun for begun, through in pairs]
        self.whole = [len(row) for row in found.rows]
        self.own = [len(row) - begun for row, begun in zip(found.rows, found.begun, strict=True)]
        self.below = defaultdict(list)
        for trunk, above in enumerate(found.above):
            self.below[above].append(trunk)
        self.ends = defaultdict(list)
        for index, row in enumerate(rows):
            if len(row) > found.shared[index] > 0:
                self.ends[found.of[index]].append(index)

    def run(self) -> None:
        """Visits everything."""
        self._visit_all(self.below[-1], None, {})

    def _visit_all(
        self, trunks: Sequence[int], above: CachedRows | None, place: dict[int, int]
    ) -> None:
        """Visits trunks, those without a gradient first."""
        for free in (False, True):
            some = [trunk for trunk in trunks if self.whole[trunk] and self.free[trunk] == free]
            if some:
                self._visit(some, above, place)

    def _visit(
        self, trunks: Sequence[int], above: CachedRows | None, place: dict[int, int]
    ) -> None:
        """Visits trunks, and what follows them.

        Args:
            trunks: Their numbers.
            above: Keys and values of the trunks that they go on from, if they do.
            place: Places of those there.
        """
        order = sorted(trunks, key=lambda trunk: (self.own[trunk], self.whole[trunk]))

        def together(chosen: slice) -> None:
            some = order[chosen]
            kept = self._read(some, above, place)
            if self.keep:
                self.model.remembered.rows = kept
            at = {trunk: number for number, trunk in enumerate(some)}
            of = {index: at[trunk] for trunk in some for index in self.ends[trunk]}
            visit_ends(self.model, self.rows, [*of], of, self.found.shared, kept.store, self.visit)
            after = [number for trunk in some for number in self.below[trunk]]
            self._visit_all(after, kept, at)

        # What is kept is that of one forward.
        waste = torch.inf if self.keep else PADDING
        self.model.budget.run(
            [self.own[trunk] for trunk in order],
            together,
            waste,
            inner=True,
            held=[self.whole[trunk] for trunk in order],
        )

    def _read(
        self, trunks: Sequence[int], above: CachedRows | None, place: dict[int, int]
    ) -> CachedRows:
        """Reads trunks in one forward; returns their keys and values."""
        model, beginnings = self.model, [self.found.rows[trunk] for trunk in trunks]
        passing = [
            (row, number, taken)
            for number, trunk in enumerate(trunks)
            for row, taken in self.passing[trunk]
        ]
        members, places, stops = zip(*passing, strict=True)
        # Either all of them have a gradient or none has.
        free = self.free[trunks[0]]
        # A row that takes less than the others has other embeddings behind that.
        longest = [max(self.passing[trunk], key=itemgetter(1))[0] for trunk in trunks]
        sources = longest if free else None

        def read(ends: Suffixes) -> None:
            self.visit(trunk_part(ends, members, places, stops, sources))

        with nullcontext() if sources else torch.no_grad():
            if above is None:
                return read_on(
                    model, model.remembered.rows if self.keep else None, beginnings, read
                )
            of = [place[self.found.above[trunk]] for trunk in trunks]
            begun = [self.found.begun[trunk] for trunk in trunks]
            return read_ends(model, above, beginnings, of, begun, read)
