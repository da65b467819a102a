"""Likelihoods of tokens, -log P; each distinct beginning of rows is read once."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor

from fuse_lightning.engine.batching import for_each_batch
from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.focus import Focus
from fuse_lightning.engine.network import LanguageNetwork
from fuse_lightning.engine.parts import Part
from fuse_lightning.engine.prefixes import Row
from fuse_lightning.engine.remembered import Continuations
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
    alike: Tensor | None = None,
    focus: Focus | None = None,
) -> Tensor:
    """See :meth:`CausalLM.token_nll`; ids and counted are on the CPU.

    Returns:
        Shape (N, T); with a focus (N, T, 2), with 1 for a token that is the likeliest behind it.
    """
    asked = _Asked(model, ids, counted, embeds, alike, focus)
    if cache is not None and not (len(cache) and model.shares and cache.reduced == model.reduced):
        cache = None
    if cache is not None:
        free = torch.zeros(len(ids)) if embeds is not None and fixed is None else fixed
        asked.answer(*cache.told(ids, counted, None if embeds is None else free))
    rows, limits = asked.rows(fixed)
    if embeds is None and focus is None:
        rows = asked.answer_from(model.remembered.continuations, rows)
        limits = [len(row) for row in rows]
    if cache is not None:
        most = [min(pair) for pair in zip(limits, asked.unasked(), strict=True)]
        of, starts = resume(model, cache, rows, most)
        for_each_continued(model, cache, rows, limits, of, starts, asked.visit)
        # Nothing is left of these.
        rows = [() if start else row for row, start in zip(rows, starts, strict=True)]
        limits = [0 if start else limit for limit, start in zip(limits, starts, strict=True)]
    for_each_batch(model, rows, limits, asked.visit, kinds=asked.kinds)
    return asked.result()


def focused_nll(
    model: LanguageNetwork,
    ids: Tensor,
    counted: Tensor,
    focus: Focus,
    embeds: Tensor | None = None,
    fixed: Tensor | None = None,
    cache: RowCache | None = None,
    alike: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """-log P of the counted tokens, of some of them among a few tokens (nats).

    Args:
        model: The model.
        ids: See :meth:`CausalLM.token_nll`; on the CPU.
        counted: See there; on the CPU.
        focus: Which of the counted tokens are compared with which others.
        embeds: See there.
        fixed: See there.
        cache: See there.
        alike: See there.

    Returns:
        -log P, shape (N, T), float32, 0 for tokens that are not counted; and which of the tokens
        in focus are the likeliest of those that they are compared with, shape (N, T).
    """
    found = token_nll(model, ids, counted, embeds, fixed, cache, alike, focus)
    return found[..., 0], found[..., 1] > 0


class _Asked:
    """Tokens whose likelihoods are wanted, and the likelihoods known so far.

    Args:
        model: The model.
        ids: Shape (N, T).
        counted: True for these tokens, shape (N, T).
        embeds: Input embeddings instead of those of the ids, shape (N, T, d).
        alike: Numbers of rows, see :meth:`CausalLM.token_nll`.
        focus: Tokens that are compared otherwise than with all others.
    """

    def __init__(
        self,
        model: LanguageNetwork,
        ids: Tensor,
        counted: Tensor,
        embeds: Tensor | None,
        alike: Tensor | None,
        focus: Focus | None,
    ) -> None:
        self.model = model
        self.ids = ids
        self.counted = counted
        self.count = int(counted.sum())
        self.embeds = embeds
        self.alike = alike
        self.focus = focus
        self.kinds: list[int] | None = None
        self.cells: list[Cells] = []
        self.found: list[Tensor] = []

    def answer(self, cells: Cells, nll: Tensor) -> None:
        """Records known likelihoods of some tokens, which are then no longer wanted."""
        if self.focus is not None and len(nll):
            plain = ~self.focus.places[cells]
            cells, nll = (cells[0][plain], cells[1][plain]), nll[plain]
            nll = torch.stack([nll, torch.zeros_like(nll)], 1)
        if len(nll):
            self.cells.append(cells)
            self.found.append(to_device(nll, self.model.device))
            self.counted = self.counted.index_put(cells, torch.tensor(False))

    def rows(self, fixed: Tensor | None) -> tuple[list[Row], list[int]]:
        """Rows to read, up to their last wanted token, and how much of each may be shared.

        Rows that agree before their last token are one row with several readers, where their
        embeddings agree, too.
        """
        ends = (self.counted * torch.arange(self.ids.shape[1])).amax(1).tolist()
        inputs = [tuple(row[:end]) for row, end in zip(self.ids.tolist(), ends, strict=True)]
        kinds = [0] * len(inputs)
        if self.embeds is not None:
            kinds = [*range(len(inputs))] if self.alike is None else self.alike.tolist()
        first: dict[tuple[int, Row], int] = {}
        of = [first.setdefault(key, len(first)) for key in zip(kinds, inputs, strict=True)]
        rows = [row for _, row in first]
        self.readers: list[list[int]] = [[] for _ in rows]
        if self.embeds is not None and self.alike is not None:
            self.kinds = [kind for kind, _ in first]
        for row, number in enumerate(of):
            self.readers[number].append(row)
        if self.embeds is None:
            return rows, [len(row) for row in rows]
        readers = torch.tensor([some[0] for some in self.readers], dtype=torch.long)
        if len(rows) < len(inputs):
            self.embeds = self.embeds[to_device(readers, self.embeds.device)]
        free = [0] * len(rows) if fixed is None else fixed[readers].tolist()
        return rows, [min(n, len(row)) for n, row in zip(free, rows, strict=True)]

    def unasked(self) -> list[int]:
        """Number of leading tokens of each row that need no forward if their keys are known."""
        firsts = torch.where(
            self.counted.any(1), self.counted.int().argmax(1) - 1, self.ids.shape[1]
        ).tolist()
        return [min(firsts[reader] for reader in readers) for readers in self.readers]

    def answer_from(self, latest: Continuations | None, rows: list[Row]) -> list[Row]:
        """Records what the last next-token forward knows, and returns rows with what is left."""
        if latest is None or latest.reduced != self.model.reduced:
            return rows
        known = [
            (reader, latest.rows[row])
            for number, row in enumerate(rows)
            if row in latest.rows
            for reader in self.readers[number]
        ]
        if known:
            reader, place = torch.tensor(known).T
            which, token = self.counted[reader].nonzero(as_tuple=True)
            cells = reader[which], token
            self.cells.append(cells)
            self.found.append(latest.nll(place[which], token, self.ids[cells]))
        # Nothing is left to compute of an empty row.
        return [() if row in latest.rows else row for row in rows]

    def visit(self, part: Part) -> None:
        """Runs the network over a part, and records the likelihoods of its tokens."""
        there, positions = partial(to_device, device=self.model.device), part.positions
        readers = [self.readers[row] for row in part.rows.tolist()]
        cell, row, column = _asked(part, readers, self.counted)
        places = torch.zeros_like(part.mask)
        places[row, column] = True
        logits = self.model.logits_at(
            places,
            there(part.ids),
            there(part.mask),
            part.embeds(self.embeds),
            None if positions is None else there(positions),
        )
        order = there((places.flatten().cumsum(0) - 1).view(places.shape)[row, column])
        # Both or neither: memory may run out in the middle, and the part is visited again.
        wanted = there(self.ids[cell])
        found = logits.logsumexp(-1)[order] - logits[order, wanted]
        if self.focus is not None:
            found = self.focus.count(cell, wanted, found, logits, order)
        self.cells.append(cell)
        self.found.append(found)

    def result(self) -> Tensor:
        """-log P of the tokens, 0 elsewhere, shape (N, T)."""
        device = self.model.device
        if not self.found:
            shape = self.ids.shape if self.focus is None else (*self.ids.shape, 2)
            return torch.zeros(shape, device=device)
        values = torch.cat(self.found)
        row, column = (torch.cat(parts) for parts in zip(*self.cells, strict=True))
        if len(row) > self.count:
            # A row is visited again where memory ran out between its trunk and its end. Only the
            # last visit counts, or gradients would be added twice.
            number, last = torch.arange(len(row)), torch.zeros(self.ids.shape, dtype=torch.long)
            last[row, column] = number
            some = (last[row, column] == number).nonzero().squeeze(1)
            row, column, values = row[some], column[some], values[to_device(some, device)]
        cells = to_device(row, device), to_device(column, device)
        return values.new_zeros(*self.ids.shape, *values.shape[1:]).index_put(cells, values)


def _asked(part: Part, readers: list[list[int]], counted: Tensor) -> tuple[Cells, Tensor, Tensor]:
    """Counted tokens whose likelihoods a forward gives, and the places that predict them.

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
