"""Batched forwards over many rows, which read shared beginnings once.

:func:`for_each_batch` calls back with each forward, a :class:`Part`: first trunks, then the ends of
the rows that follow them.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.kv_reuse import can_stay
from fuse_lightning.engine.network import Network
from fuse_lightning.engine.parts import Part, visit_ends
from fuse_lightning.engine.prefixes import Row, SharedPrefixes, find_shared_prefixes
from fuse_lightning.engine.token_batch import TokenBatch
from fuse_lightning.engine.trunks import Trunks


def for_each_batch(
    model: Network,
    rows: Sequence[Row],
    limits: Sequence[int],
    visit: Callable[[Part], None],
    *,
    keep: bool = False,
    kinds: Sequence[int] | None = None,
) -> None:
    """Runs a callback on forwards that cover all tokens of all rows within the memory budget.

    Args:
        model: A causal model; where its attention cannot share, rows are computed whole.
        rows: Rows of tokens, distinct if they may be shared.
        limits: How many leading tokens of each row may be shared; these get no gradient.
        visit: Runs the network over a part and keeps what it needs of it; again for the same
            rows if memory ran out.
        keep: Whether trunks go on from those of the last call, whose tokens are not visited.
        kinds: Number of each row: what is behind the limits is shared with a gradient by rows of
            one number. Without numbers it is not shared.
    """
    shareable = model.shares and max(map(len, rows), default=0) <= model.max_tokens
    if shareable and model.turn is not None:
        # What a longer row begins with is rotated otherwise than in a shorter one.
        limits = [
            limit if len(row) <= model.turn else 0 for limit, row in zip(limits, rows, strict=True)
        ]
    limits = limits if shareable else [0] * len(rows)
    if kinds is None or not shareable or model.turn is not None:
        found = find_shared_prefixes(rows, limits, model.worth, nested=not keep)
    else:
        found = _shared_with_gradients(rows, limits, kinds, model.worth)
    alone = [index for index, row in enumerate(rows) if row and not found.shared[index]]
    visit_ends(model, rows, alone, found.of, found.shared, None, visit)
    keep = keep and can_stay(model, found.rows)
    Trunks(model, rows, found, limits, visit, keep=keep).run()


def _shared_with_gradients(
    rows: Sequence[Row], limits: Sequence[int], kinds: Sequence[int], worth: int
) -> SharedPrefixes:
    """Trunks that hold either tokens before the limits, or behind them those of one kind."""
    base = 1 + max((max(row, default=0) for row in rows), default=0)
    # A token of another kind is another token.
    marked = [
        (*row[:limit], *(token + base * (kind + 1) for token in row[limit:]))
        for row, limit, kind in zip(rows, limits, kinds, strict=True)
    ]
    found = find_shared_prefixes(marked, [*map(len, rows)], worth, nested=True, bounds=limits)
    found.rows = [tuple(token % base for token in row) for row in found.rows]
    return found


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
