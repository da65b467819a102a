"""Likelihoods of rows that extend generated texts: only the new tokens are read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from fuse_lightning.engine.kv_reuse import Suffixes, read_ends
from fuse_lightning.engine.network import Network
from fuse_lightning.engine.parts import Part, trunk_part, visit_ends
from fuse_lightning.engine.prefixes import Row, find_shared_prefixes
from fuse_lightning.engine.remembered import CachedRows
from fuse_lightning.engine.row_cache import RowCache


@dataclass
class _Trunk:
    """Common beginning of rows: a part of a generated row, and tokens that follow it.

    Attributes:
        of: Number of the written row.
        start: How many of its tokens.
        row: These tokens and those that follow them.
        members: Numbers of the rows that begin so.
        shared: How many tokens each of these takes from it.
    """

    of: int
    start: int
    row: Row
    members: list[int]
    shared: list[int]


def resume(
    model: Network,
    cache: RowCache,
    rows: Sequence[Row],
    limits: Sequence[int],
) -> tuple[list[int], list[int]]:
    """The generated row that each row extends, and the number of tokens that need no forward.

    Args:
        model: The model.
        cache: The written rows.
        rows: Rows of tokens, empty where nothing is asked of them.
        limits: How many leading tokens of each row need not be computed.
    """
    turn = torch.inf if model.turn is None else model.turn
    of, starts = [], []
    for row, limit in zip(rows, limits, strict=True):
        found, agreed = cache.find(row) if row and len(row) <= turn else (0, 0)
        written = cache.rows[found].ids
        # The last written token was not read; longer rows are rotated otherwise.
        known = min(agreed, limit, len(written) - 1) if len(written) <= turn else 0
        of.append(found)
        starts.append(max(0, known))
    return of, starts


def for_each_continued(
    model: Network,
    cache: RowCache,
    rows: Sequence[Row],
    limits: Sequence[int],
    of: Sequence[int],
    starts: Sequence[int],
    visit: Callable[[Part], None],
) -> None:
    """Runs a callback on forwards over the tokens that rows add to generated rows.

    Args:
        model: A model that shares.
        cache: The written rows.
        rows: Rows of tokens.
        limits: How many leading tokens of each row may be shared; these get no gradient.
        of: The written row that each goes on from.
        starts: Number of its tokens that the row takes; rows with 0 are left out.
        visit: Callback, see :func:`for_each_batch`.
    """
    trunks = _trunks(model, rows, limits, of, starts)
    # Either all trunks of a batch have tokens to read or none has.
    for reads in (False, True):
        some = [trunk for trunk in trunks if (len(trunk.row) > trunk.start) == reads]
        some.sort(key=lambda trunk: len(trunk.row))

        def together(chosen: slice, some: list[_Trunk] = some, reads: bool = reads) -> None:
            _visit_together(model, cache, rows, some[chosen], reads, visit)

        model.budget.run([len(trunk.row) for trunk in some], together, inner=True)


def _trunks(
    model: Network,
    rows: Sequence[Row],
    limits: Sequence[int],
    of: Sequence[int],
    starts: Sequence[int],
) -> list[_Trunk]:
    """Trunks of rows: what they share with generated rows, and with each other behind these."""
    families = defaultdict(list)
    for index, start in enumerate(starts):
        if start:
            families[of[index], start].append(index)
    plain, shared, saved = [], [], 0
    for (number, start), members in families.items():
        ends = [rows[index][start:] for index in members]
        beginning = rows[members[0]][:start]
        plain.append(_Trunk(number, start, beginning, members, [start] * len(members)))
        found = find_shared_prefixes(ends, [limits[index] - start for index in members], 0)
        saved += sum(found.shared) - sum(map(len, found.rows))
        groups = defaultdict(list)
        for place, count in enumerate(found.shared):
            groups[found.of[place] if count else None].append(place)
        for group, places in groups.items():
            tail = () if group is None else found.rows[group]
            shared.append(
                _Trunk(
                    number,
                    start,
                    beginning + tail,
                    [members[place] for place in places],
                    [start + found.shared[place] for place in places],
                )
            )
    return shared if saved >= model.worth else plain


def _visit_together(
    model: Network,
    cache: RowCache,
    rows: Sequence[Row],
    trunks: Sequence[_Trunk],
    reads: bool,
    visit: Callable[[Part], None],
) -> None:
    """Runs the callback on the tokens of some trunks, if they are read, and on the ends of rows."""
    members = [index for trunk in trunks for index in trunk.members]
    shared = {
        index: count
        for trunk in trunks
        for index, count in zip(trunk.members, trunk.shared, strict=True)
    }
    place = {index: at for at, trunk in enumerate(trunks) for index in trunk.members}
    with torch.no_grad():
        store = cache.store([trunk.of for trunk in trunks])

    def read(ends: Suffixes) -> None:
        places = [place[index] for index in members]
        visit(trunk_part(ends, members, places, [shared[index] for index in members]))

    if reads:
        known = [cache.rows[trunk.of].ids for trunk in trunks]
        kept = CachedRows(known, store, torch.is_inference_mode_enabled())
        begun = [trunk.start for trunk in trunks]
        with torch.no_grad():
            store = read_ends(
                model, kept, [trunk.row for trunk in trunks], range(len(trunks)), begun, read
            ).store
    counts = [shared.get(index, 0) for index in range(len(rows))]
    longer = [index for index in members if len(rows[index]) > shared[index]]
    visit_ends(model, rows, longer, place, counts, store, visit)
