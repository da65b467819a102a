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
from fuse_lightning.engine.kv_reuse import Suffixes, can_stay, read_on
from fuse_lightning.engine.network import Network
from fuse_lightning.engine.prefixes import Row, find_shared_prefixes
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
    found = find_shared_prefixes(rows, limits if shareable else [0] * len(rows), model.worth)
    alone = [index for index, row in enumerate(rows) if row and not found.shared[index]]
    visit_ends(model, rows, alone, found.of, found.shared, None, visit)
    members = defaultdict(list)
    for index, shared in enumerate(found.shared):
        if shared:
            members[found.of[index]].append(index)
    order = sorted(members, key=lambda trunk: len(found.rows[trunk]))
    keep = keep and can_stay(model, found.rows)

    def together(chosen: slice) -> None:
        trunks = order[chosen]
        following = [index for trunk in trunks for index in members[trunk]]
        places = [place for place, trunk in enumerate(trunks) for _ in members[trunk]]
        stops = [found.shared[index] for index in following]

        def read(ends: Suffixes) -> None:
            visit(trunk_part(ends, following, places, stops))

        with torch.no_grad():
            beginnings = [found.rows[trunk] for trunk in trunks]
            kept = read_on(model, model.remembered.rows if keep else None, beginnings, read)
        if keep:
            model.remembered.rows = kept
        of = dict(zip(following, places, strict=True))
        longer = [index for index in following if len(rows[index]) > found.shared[index]]
        visit_ends(model, rows, longer, of, found.shared, kept.store, visit)

    # What is kept is that of one forward.
    waste = torch.inf if keep else PADDING
    model.budget.run([len(found.rows[trunk]) for trunk in order], together, waste, inner=True)


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
