"""Likelihoods of tokens, -log P; each distinct beginning of the rows is read once."""

from __future__ import annotations

from collections import defaultdict
from functools import partial

import torch
from torch import Tensor

from fuse_lightning.engine.batching import Part, for_each_batch
from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.network import LanguageNetwork
from fuse_lightning.engine.prefixes import Row
from fuse_lightning.engine.resuming import for_each_continued, resume
from fuse_lightning.engine.row_cache import RowCache

Cells = tuple[Tensor, Tensor]
"""Rows and columns of some tokens, both shape (M,)."""


def token_nll(
    model: LanguageNetwork,
    ids: Tensor,
    counted: Tensor,
    embeds: Tensor | None,
    fixed: Tensor | None,
    cache: RowCache | None = None,
) -> Tensor:
    """See :meth:`CausalLM.token_nll`; ids and counted are on the CPU."""
    cells: list[Cells] = []
    found: list[Tensor] = []
    if cache is not None and not (len(cache) and model.shares and cache.reduced == model.reduced):
        cache = None
    if cache is not None:
        free = torch.zeros(len(ids)) if embeds is not None and fixed is None else fixed
        cell, told = cache.told(ids, counted, None if embeds is None else free)
        if len(told):
            cells.append(cell)
            found.append(to_device(told, model.device))
            counted = counted.index_put(cell, torch.tensor(False))
    ends = (counted * torch.arange(ids.shape[1])).amax(1).tolist()
    inputs = [tuple(row[:end]) for row, end in zip(ids.tolist(), ends, strict=True)]
    # Rows that agree before their last token are one row with several readers.
    rows, of = inputs, [*range(len(inputs))]
    limits = [0] * len(rows)
    if embeds is None:
        first: dict[Row, int] = {}
        of = [first.setdefault(row, len(first)) for row in inputs]
        rows = [*first]
        limits = [len(row) for row in rows]
    elif fixed is not None:
        limits = [min(n, len(row)) for n, row in zip(fixed.tolist(), rows, strict=True)]
    readers = defaultdict(list)
    for row, number in enumerate(of):
        readers[number].append(row)

    latest = model.remembered.continuations
    if embeds is None and latest and latest.reduced == model.reduced:
        known = [
            (reader, latest.rows[row])
            for number, row in enumerate(rows)
            if row in latest.rows
            for reader in readers[number]
        ]
        if known:
            reader, place = torch.tensor(known).T
            which, token = counted[reader].nonzero(as_tuple=True)
            cells.append((reader[which], token))
            found.append(latest.nll(place[which], token, ids[cells[0]]))
        # Nothing is left to compute of an empty row.
        rows = [() if row in latest.rows else row for row in rows]
        limits = [len(row) for row in rows]

    def visit(part: Part) -> None:
        there, positions = partial(to_device, device=model.device), part.positions
        cell, row, column = _asked(part, [readers[row] for row in part.rows.tolist()], counted)
        places = torch.zeros_like(part.mask)
        places[row, column] = True
        logits = model.logits_at(
            places,
            there(part.ids),
            there(part.mask),
            part.embeds(embeds),
            None if positions is None else there(positions),
        )
        order = there((places.flatten().cumsum(0) - 1).view(places.shape)[row, column])
        cells.append(cell)
        found.append(logits.logsumexp(-1)[order] - logits[order, there(ids[cell])])

    if cache is not None:
        # Of the tokens before the first that is asked for nothing is needed but their keys.
        firsts = torch.where(counted.any(1), counted.int().argmax(1) - 1, ids.shape[1]).tolist()
        unasked = [min(firsts[reader] for reader in readers[n]) for n in range(len(rows))]
        most = [min(pair) for pair in zip(limits, unasked, strict=True)]
        of, starts = resume(model, cache, rows, most)
        for_each_continued(model, cache, rows, limits, of, starts, visit)
        # Nothing is left of these.
        rows = [() if start else row for row, start in zip(rows, starts, strict=True)]
        limits = [0 if start else limit for limit, start in zip(limits, starts, strict=True)]
    for_each_batch(model, rows, limits, visit)
    if not found:
        return torch.zeros(ids.shape, device=model.device)
    values = torch.cat(found)
    asked = tuple(to_device(torch.cat(parts), model.device) for parts in zip(*cells, strict=True))
    return values.new_zeros(ids.shape).index_put(asked, values)


def _asked(part: Part, readers: list[list[int]], counted: Tensor) -> tuple[Cells, Tensor, Tensor]:
    """Counted tokens whose likelihood a forward gives, and where in it each is predicted.

    Args:
        part: The forward.
        readers: For each row that is computed in it, who reads that row.
        counted: Shape (N, T).
    """
    counts = torch.tensor([len(some) for some in readers])
    reader = torch.tensor([row for some in readers for row in some])
    place = part.places.repeat_interleave(counts)
    tokens = part.starts[place, None] + torch.arange(part.ids.shape[1])
    here = tokens < part.stops.repeat_interleave(counts)[:, None]
    here &= counted[reader[:, None], (tokens + 1).clamp(max=counted.shape[1] - 1)]
    which, column = here.nonzero(as_tuple=True)
    return (reader[which], tokens[which, column] + 1), place[which], column
