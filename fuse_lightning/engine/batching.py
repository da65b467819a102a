"""Batched forwards over many rows, which read shared beginnings once.

:func:`for_each_batch` calls back with each forward, a :class:`Part`: first trunks, then the ends of
the rows that follow them.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from fuse_lightning.engine.attention import branching
from fuse_lightning.engine.branches import Store
from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.kv_reuse import Suffixes, can_stay, read_ends, read_on
from fuse_lightning.engine.network import Network
from fuse_lightning.engine.prefixes import Row, SharedPrefixes, find_shared_prefixes
from fuse_lightning.engine.remembered import CachedRows
from fuse_lightning.engine.token_batch import TokenBatch, pad

PADDING = 0.08
"""Most padded positions of a forward per real position."""


@dataclass
class Part:
    """Input of one forward: shared trunks, or the ends of rows behind them.

    Attributes:
        ids: Tokens, shape (n, T).
        mask: True for tokens, shape (n, T).
        starts: How many tokens of its row come before each, shape (n,).
        positions: Positions in the whole row, shape (n, T); ``None`` where all begin at 0.
        rows: Numbers of the m rows that are computed here, shape (m,).
        places: Their places in this forward, shape (m,).
        stops: How many tokens of each of them are done after it, shape (m,).
        trunk: Whether these are trunks, which others go on from.
    """

    ids: Tensor
    mask: Tensor
    starts: Tensor
    positions: Tensor | None
    rows: Tensor
    places: Tensor
    stops: Tensor
    trunk: bool

    def embeds(self, whole: Tensor | None) -> Tensor | None:
        """Embeddings of this part, shape (n, T, d), out of those of all rows, shape (N, T, d)."""
        if whole is None or self.trunk:
            return None
        places = (self.starts[:, None] + torch.arange(self.ids.shape[1])).clamp(
            max=whole.shape[1] - 1
        )
        return whole[to_device(self.rows, whole.device)[:, None], to_device(places, whole.device)]


def trunk_part(
    ends: Suffixes, members: Sequence[int], places: Sequence[int], stops: Sequence[int]
) -> Part:
    """Input of a forward over trunks.

    Args:
        ends: Input of the forward.
        members: Numbers of the rows that follow the trunks.
        places: The place of each one's trunk in the forward.
        stops: How many tokens each takes from it.
    """
    return Part(
        ends.ids,
        ends.mask,
        ends.starts,
        ends.positions,
        torch.tensor(members),
        torch.tensor(places),
        torch.tensor(stops),
        True,
    )


def for_each_batch(
    model: Network,
    rows: Sequence[Row],
    limits: Sequence[int],
    visit: Callable[[Part], None],
    *,
    keep: bool = False,
) -> None:
    """Runs a callback on forwards that cover all tokens of all rows within the memory budget.

    Args:
        model: A causal model; where its attention cannot share, rows are computed whole.
        rows: Rows of tokens, distinct if they may be shared.
        limits: How many leading tokens of each row may be shared; these get no gradient.
        visit: Runs the network over a part and keeps what it needs of it; again for the same
            rows if memory ran out.
        keep: Whether trunks go on from those of the last call, whose tokens are not visited.
    """
    shareable = model.shares and max(map(len, rows), default=0) <= model.max_tokens
    if shareable and model.turn is not None:
        # What a longer row begins with is rotated otherwise than in a shorter one.
        limits = [
            limit if len(row) <= model.turn else 0 for limit, row in zip(limits, rows, strict=True)
        ]
    found = find_shared_prefixes(
        rows, limits if shareable else [0] * len(rows), model.worth, nested=not keep
    )
    alone = [index for index, row in enumerate(rows) if row and not found.shared[index]]
    visit_ends(model, rows, alone, found.of, found.shared, None, visit)
    _Trunks(model, rows, found, visit, keep=keep and can_stay(model, found.rows)).run()


class _Trunks:
    """Forwards over the trunks of rows, each followed by those over what goes on from them.

    Args:
        model: The model.
        rows: The rows.
        found: Their trunks.
        visit: Callback, see :func:`for_each_batch`.
        keep: Whether trunks go on from those of the last call, and stay for the next.
    """

    def __init__(
        self,
        model: Network,
        rows: Sequence[Row],
        found: SharedPrefixes,
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
        self._visit([trunk for trunk in self.below[-1] if self.found.rows[trunk]], None, {})

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
            if after:
                self._visit(after, kept, at)

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

        def read(ends: Suffixes) -> None:
            self.visit(trunk_part(ends, members, places, stops))

        with torch.no_grad():
            if above is None:
                return read_on(
                    model, model.remembered.rows if self.keep else None, beginnings, read
                )
            of = [place[self.found.above[trunk]] for trunk in trunks]
            begun = [self.found.begun[trunk] for trunk in trunks]
            return read_ends(model, above, beginnings, of, begun, read)


def visit_ends(
    model: Network,
    rows: Sequence[Row],
    members: Sequence[int],
    of: Sequence[int] | dict[int, int],
    shared: Sequence[int],
    store: Store | None,
    visit: Callable[[Part], None],
) -> None:
    """Runs a callback on forwards over the unshared ends of rows.

    Args:
        model: The model.
        rows: All rows.
        members: Numbers of those that are visited.
        of: The trunk of each row.
        shared: How many tokens each row takes from it.
        store: Keys and values of the trunks, if there are any.
        visit: Callback, see :func:`for_each_batch`.
    """
    order = sorted(members, key=lambda index: len(rows[index]) - shared[index])

    def together(chosen: slice) -> None:
        some = order[chosen]
        batch = pad([rows[index][shared[index] :] for index in some], None, model.pad_id)
        starts = torch.tensor([shared[index] for index in some])
        numbers = torch.tensor(some)
        positions = starts[:, None] + torch.arange(batch.ids.shape[1])
        part = Part(
            batch.ids,
            batch.mask,
            starts,
            positions.clamp(max=model.last_position) if store else None,
            numbers,
            torch.arange(len(some)),
            torch.tensor([len(rows[index]) for index in some]),
            False,
        )
        trunks = torch.tensor([of[index] for index in some])
        with branching(store, trunks, starts) if store else nullcontext():
            visit(part)

    lengths = [max(len(rows[index]) - shared[index], model.full_length) for index in order]
    model.budget.run(lengths, together, PADDING)


def run_vectors(
    model: Network,
    encoded: TokenBatch,
    call: Callable[[Tensor, Tensor, Tensor | None, Tensor | None], Tensor],
    embeds: Tensor | None = None,
    fixed: Tensor | None = None,
) -> Tensor:
    """Vectors of texts, one each, computed once for equal texts.

    Args:
        model: The model.
        encoded: N texts. Where the model shares beginnings, its vector is that of the last token.
        call: Runs the network over ids and mask, shape (n, T), with input embeddings or ``None``
            and positions or ``None``; returns shape (n, d).
        embeds: Input embeddings to use instead of those of the ids, shape (N, T, d).
        fixed: How many leading tokens of each text have the embeddings of their ids, and need no
            gradient, shape (N,). Without ``embeds`` all of them.

    Returns:
        Shape (N, d).
    """
    ids, lengths = encoded.ids.tolist(), encoded.mask.sum(1).tolist()
    texts = [tuple(row[:length]) for row, length in zip(ids, lengths, strict=True)]
    rows, of = texts, [*range(len(texts))]
    limits = [0] * len(rows) if fixed is None else fixed.tolist()
    if embeds is None:
        first: dict[Row, int] = {}
        of = [first.setdefault(text, len(first)) for text in texts]
        rows = [*first]
        limits = [len(row) for row in rows]
    parts: list[Tensor] = []
    order: list[Tensor] = []

    def visit(part: Part) -> None:
        device, positions = model.device, part.positions
        found = call(
            to_device(part.ids, device),
            to_device(part.mask, device),
            part.embeds(embeds),
            None if positions is None else to_device(positions, device),
        )
        if not part.trunk:
            parts.append(found)
            order.append(part.rows)

    limits = [min(n, len(row) - 1) for n, row in zip(limits, rows, strict=True)]
    for_each_batch(model, rows, limits, visit, keep=True)
    visited = torch.cat(order)
    # A row is visited again where memory ran out between its trunk and its end.
    place = torch.empty(len(rows), dtype=torch.long)
    place[visited] = torch.arange(len(visited))
    return torch.cat(parts)[to_device(place[torch.tensor(of)], model.device)]
