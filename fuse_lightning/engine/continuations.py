"""Log-probabilities of the token after each row, kept for later likelihoods of longer rows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.kv_reuse import (
    Suffixes,
    behind,
    can_stay,
    join,
    read_on,
    whole,
)
from fuse_lightning.engine.network import LanguageNetwork
from fuse_lightning.engine.prefixes import Row
from fuse_lightning.engine.remembered import CachedRows, Continuations


class _Reader:
    """Collector of likelihoods and next-token log-probabilities from forwards over ends of rows.

    Args:
        model: The model.
        earlier: Results of the last forward, whose rows these rows may extend.
    """

    def __init__(self, model: LanguageNetwork, earlier: Continuations | None) -> None:
        self.model = model
        self.earlier = earlier
        self.found: list[tuple[Tensor, Tensor]] = []

    def read(self, ends: Suffixes) -> None:
        """Runs the network over ends of rows."""
        model = self.model
        there = partial(to_device, device=model.device)
        positions = None if ends.positions is None else there(ends.positions)
        ids, mask = there(ends.ids), there(ends.mask)
        log_probs = model.logits_at(ends.mask, ids, mask, None, positions).log_softmax(-1)
        last = ends.mask.sum(1).cumsum(0) - 1
        nll = torch.zeros(ids.shape, device=model.device)
        # Behind the last token of a row stands the first of the next one, which is masked.
        follows = F.pad(ends.ids, (0, 1))[:, 1:][ends.mask]
        told = log_probs.gather(1, there(follows)[:, None]).squeeze(1)
        nll[:, 1:] = -torch.zeros_like(nll).masked_scatter(mask, told)[:, :-1]
        if self.earlier is not None and positions is not None:
            nll[:, 0] = self.earlier.nll(ends.of, ends.starts, ends.ids[:, 0])
            most = int(ends.starts.max())
            places = behind(ends.starts, most, nll.shape[1])
            nll = join(self.earlier.before[there(ends.of), :most], nll, there(places), 1)
        self.found.append((nll, log_probs[there(last), : model.vocab_size]))


@torch.no_grad()
def next_log_probs(model: LanguageNetwork, rows: Sequence[Sequence[int]]) -> Tensor:
    """See :meth:`CausalLM.next_log_probs`."""
    numbers: dict[Row, int] = {}
    chosen = [numbers.setdefault(tuple(row), len(numbers)) for row in rows]
    distinct, earlier = [*numbers], model.remembered.continuations
    reader = _Reader(model, earlier)
    kept: CachedRows | None = None
    if model.shares and can_stay(model, distinct):
        kept = read_on(model, earlier.kept if earlier else None, distinct, reader.read)
    else:
        lengths = [len(row) for row in distinct]
        model.budget.run(lengths, lambda some: reader.read(whole(distinct[some], model.pad_id)))
    width = max(nll.shape[1] for nll, _ in reader.found)
    before = torch.cat([F.pad(nll, (0, width - nll.shape[1])) for nll, _ in reader.found])
    after = torch.cat([told for _, told in reader.found])
    model.remembered.continuations = Continuations(numbers, model.reduced, before, after, kept)
    return after[to_device(torch.tensor(chosen), model.device)]


@torch.no_grad()
def nested_log_probs(model: LanguageNetwork, rows: Sequence[Sequence[int]]) -> Tensor:
    """See :meth:`CausalLM.nested_log_probs`."""
    asked = [tuple(row) for row in rows]
    whole_of = _longest(asked, model.turn)
    longest = [*dict.fromkeys(whole_of.values())]
    ends: dict[Row, set[int]] = {row: set() for row in longest}
    for row, long in whole_of.items():
        ends[long].add(len(row))
    place: dict[tuple[Row, int], int] = {}
    parts: list[Tensor] = []

    def visit(some: slice) -> None:
        chosen = longest[some]
        batch = whole(chosen, model.pad_id)
        places = torch.zeros_like(batch.mask)
        for number, row in enumerate(chosen):
            places[number, [end - 1 for end in ends[row]]] = True
        ids, mask = to_device(batch.ids, model.device), to_device(batch.mask, model.device)
        told = model.logits_at(places, ids, mask).log_softmax(-1)[:, : model.vocab_size]
        known = sum(map(len, parts))
        cells = [(row, end) for row in chosen for end in sorted(ends[row])]
        place.update({cell: known + number for number, cell in enumerate(cells)})
        parts.append(told)

    model.budget.run([len(row) for row in longest], visit)
    order = torch.tensor([place[whole_of[row], len(row)] for row in asked], dtype=torch.long)
    return torch.cat(parts)[to_device(order, model.device)]


def _longest(rows: Sequence[Row], turn: int | None) -> dict[Row, Row]:
    """For each row one that begins with it and that no other row goes on from.

    Args:
        rows: The rows.
        turn: Length beyond which a model reads tokens otherwise; ``None`` for no such length.

    >>> _longest([(1,), (1, 2), (1, 2, 3), (1, 4)], None)
    {(1, 4): (1, 4), (1, 2, 3): (1, 2, 3), (1, 2): (1, 2, 3), (1,): (1, 2, 3)}
    """
    found: dict[Row, Row] = {}
    after: Row = ()
    # In sorted order a row stands right before those that begin with it.
    for row in sorted({*rows}, reverse=True):
        alike = turn is None or (len(row) > turn) == (len(after) > turn)
        nested = alike and after[: len(row)] == row
        after = after if nested else row
        found[row] = after
    return found
