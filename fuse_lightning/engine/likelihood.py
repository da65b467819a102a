"""Likelihoods of tokens, each distinct beginning of the rows read once."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fuse_lightning.engine.batching import Part, for_each_batch
from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.kv_reuse import CachedRows
from fuse_lightning.engine.network import LanguageNetwork
from fuse_lightning.engine.prefixes import Row

Cells = tuple[Tensor, Tensor]
"""Rows and columns of some tokens, both shape (M,)."""


@dataclass
class Continuations:
    """What one forward told of R rows.

    Attributes:
        rows: Their numbers.
        reduced: Whether it ran in the trainer's reduced precision.
        before: -log P of each of their tokens but the first, shape (R, T).
        after: log P of what follows them, shape (R, V).
        kept: Their keys and values, where these may stay.
    """

    rows: dict[Row, int]
    reduced: bool
    before: Tensor
    after: Tensor
    kept: CachedRows | None

    def nll(self, row: Tensor, place: Tensor, token: Tensor) -> Tensor:
        """-log P of tokens that stand at a place in a row or right behind it, all shape (M,)."""
        lengths = torch.tensor([len(known) for known in self.rows])
        there = partial(to_device, device=self.before.device)
        behind, place = there(place == lengths[row]), place.clamp(max=self.before.shape[1] - 1)
        row, token, place = there(row), there(token), there(place)
        return torch.where(behind, -self.after[row, token], self.before[row, place])


def token_nll(
    model: LanguageNetwork,
    ids: Tensor,
    counted: Tensor,
    embeds: Tensor | None,
    fixed: Tensor | None,
) -> Tensor:
    """See :meth:`CausalLM.token_nll`; ids and counted are on the CPU."""
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
    cells: list[Cells] = []
    found: list[Tensor] = []

    latest = model.latest
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

    for_each_batch(model, rows, limits, visit)
    if not found:
        return torch.zeros(ids.shape, device=model.device)
    values = torch.cat(found)
    asked = tuple(to_device(torch.cat(parts), model.device) for parts in zip(*cells, strict=True))
    return values.new_zeros(ids.shape).index_put(asked, values)


def _asked(part: Part, readers: list[list[int]], counted: Tensor) -> tuple[Cells, Tensor, Tensor]:
    """The counted tokens that a forward tells of, and the row and column of each in it.

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
