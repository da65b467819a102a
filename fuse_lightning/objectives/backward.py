"""Gradients of a term at the tokens of prompts, over many rows, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate, groupby
from operator import itemgetter

import torch
from torch import Tensor

from fuse_lightning.engine.devices import to_device
from fuse_lightning.objectives.reading import Reading, equal_weights, mean_of, row_weights
from fuse_lightning.objectives.row_values import checked, reduced, row_values
from fuse_lightning.objectives.term import Term
from fuse_lightning.utilities.processes import Team

SHARE = 0.5
"""Share of a model's budget for one backward, which keeps activations."""


@dataclass
class Families:
    """Groups of rows in which one model reads a prompt as the same tokens, so gradients add up.

    Attributes:
        family: The family of each of R rows, shape (R,).
        row: One row of each of F families, shape (F,).
        of: The prompt of each, shape (F,).
        reader: The model of each, shape (F,).
        length: How many columns the prompt takes in each, shape (F,); 0 where it is not read.
        readable: Which of the rows are read, shape (R,): not those of a prompt that is too long
            in some row.
    """

    family: Tensor
    row: Tensor
    of: Tensor
    reader: Tensor
    length: Tensor
    readable: Tensor

    @classmethod
    def find(cls, term: Term, reading: Reading) -> Families:
        """Families of the rows of a reading."""
        most = torch.tensor([model.max_tokens for model in term.models])
        fits = reading.lengths <= most[reading.reader]
        readable = ~torch.isin(reading.of, reading.of[~fits])
        lengths = torch.where(readable, reading.prompt.sum(1), 0)
        row = torch.arange(len(reading))
        if reading.plain:
            return cls(row, row, reading.of, reading.reader, lengths, readable)
        firsts: dict[object, int] = {}
        family = torch.tensor(
            [firsts.setdefault(key, len(firsts)) for key in _keys(reading)], dtype=torch.long
        )
        # Of equal entries the last that is written counts: written backwards, the first does.
        row = torch.empty(len(firsts), dtype=torch.long)
        row[family.flip(0)] = torch.arange(len(reading)).flip(0)
        return cls(family, row, reading.of[row], reading.reader[row], lengths[row], readable)

    def alike(self, reading: Reading) -> Tensor:
        """Numbers of rows that are equal within a family where the prompt begins at one column.

        Gradients of such rows go to the same places: where they agree from their first token on,
        that of one of them may stand for all.
        """
        return self.family * (reading.rows.ids.shape[1] + 1) + reading.start


def _keys(reading: Reading) -> list[tuple[object, ...]]:
    """Keys of rows, equal within one family."""
    pairs = zip(reading.reader.tolist(), reading.of.tolist(), strict=True)
    own = reading.own
    kinds = [-1] * len(reading) if own is None else own.kind.tolist()
    texts: list[object] = [()] * len(reading)
    if -1 in kinds:
        spans = reading.rows.spans - reading.offset[:, None, None]
        for row, kind in enumerate(kinds):
            if kind < 0:
                inside = reading.prompt[row]
                ids, places = reading.rows.ids[row, inside], spans[row, inside]
                texts[row] = (*ids.tolist(), *places.flatten().tolist())
    return [(*pair, kind, text) for pair, kind, text in zip(pairs, kinds, texts, strict=True)]


@dataclass
class Backward:
    """Gradients and losses of N prompts from backward passes.

    Attributes:
        grads: For each model that reads, by number: weighted gradients at the columns of the
            prompts of its families, in their order, shape (F, P, d).
        losses: Losses of the prompts, shape (N,); infinite for a prompt that is too long.
        items: Losses of each pair of a prompt and an example, shape (M,).
        correct: Whether the model's answers are right, shape (M,); ``None`` for no answers.
        pairs: The pairs, shape (M, 2).
    """

    grads: dict[int, Tensor]
    losses: Tensor
    items: Tensor
    correct: Tensor | None
    pairs: Tensor


def backward(
    term: Term, reading: Reading, families: Families, count: int, team: Team | None = None
) -> Backward:
    """Weighted gradients at the prompts' tokens, and the prompts' losses.

    Rows are differentiated in parts that memory holds. Where a term couples the rows of an example
    (:meth:`Term.reduce`), a part has all of them. Where one model alone does not read them all, or
    memory does not hold them, all rows are read once without a graph before: that tells what each
    row counts. Of a mean this is known.

    Args:
        term: The term.
        reading: R rows.
        families: Their families.
        count: N, the number of prompts.
        team: Processes that share the rows out; by default this one does all.
    """
    team = team or Team()
    rows = families.readable.nonzero().squeeze(1)
    if not reading.plain:
        # Rows of one example begin alike where the prompt stands behind it.
        for key in (reading.of, reading.example, reading.owner):
            rows = rows[key[rows].argsort(stable=True)]
    part = reading[rows]
    mine = team.share(len(rows))
    mean = type(term).reduce is Term.reduce
    # Processes that share the rows out may part those of an example.
    coupled = not mean and team.size == 1 and _coupled(term, part)
    values = None
    if not (mean or coupled) and len(rows):
        own = row_values(term, part[mine], term.loss) if len(rows[mine]) else None
        values = _joined(team, own, term.model.device)
    if coupled:
        shares = _unless_one(equal_weights(part.pairs[:, 0])[part.item])
    else:
        shares = _unless_one(row_weights(part)) if values is None else _shares(term, part, values)
    weights = None if shares is None else shares[mine]
    grads, seen = _differentiate(term, part[mine], rows[mine], weights, families, coupled=coupled)
    if team.size > 1 and len(rows):
        seen = _joined(team, seen if len(rows[mine]) else None, term.model.device)
        grads = {n: _summed(team, grad) for n, grad in grads.items()}
    losses = torch.full((count,), torch.inf, device=term.model.device)
    items, correct = torch.empty(0, device=term.model.device), None
    if len(rows):
        items = reduced(term, seen, part).float()
        correct = term.correct(seen, part) if term.scores_loss else None
        of = part.pairs[:, 0]
        there = to_device(torch.unique(of), losses.device)
        losses[there] = mean_of(items, of, count)[there]
    return Backward(grads, losses, items, correct, part.pairs)


def _joined(team: Team, own: Tensor | None, device: torch.device) -> Tensor:
    """Values of all rows, of which each process has computed some or none."""
    if team.size == 1 and own is not None:
        return own
    parts = team.gather(None if own is None else own.cpu())
    return torch.cat([part for part in parts if part is not None]).to(device)


def _summed(team: Team, grad: Tensor) -> Tensor:
    """Sum of the gradients of all processes."""
    total = torch.stack(team.gather(grad.cpu())).sum(0)
    return total.to(grad.device)


def _coupled(term: Term, reading: Reading) -> bool:
    """Whether the rows of each pair of a prompt and an example fit into one backward."""
    numbers = torch.unique(reading.reader).tolist()
    if len(numbers) != 1:
        return False
    budget = term.models[numbers[0]].budget
    # Rows of some lengths must not meet others.
    return budget.apart is None and max(_pair_sizes(reading)[1]) <= SHARE * budget.tokens


def _pair_sizes(reading: Reading) -> tuple[list[int], list[int]]:
    """Number of rows, and of positions with padding, of pairs whose rows lie together, in order."""
    counts, sizes = [], []
    rows = zip(reading.item.tolist(), reading.lengths.tolist(), strict=True)
    for _, group in groupby(rows, key=itemgetter(0)):
        lengths = [length for _, length in group]
        counts.append(len(lengths))
        sizes.append(len(lengths) * max(lengths))
    return counts, sizes


def _unless_one(weights: Tensor) -> Tensor | None:
    """The weights; ``None`` if all of them are 1."""
    return None if bool((weights == 1).all()) else weights


def _shares(term: Term, reading: Reading, values: Tensor) -> Tensor:
    """Weight of each row: the gradient of the sum of all prompts' losses at the row's value."""
    with torch.enable_grad():
        leaf = values.detach().requires_grad_()
        items = reduced(term, leaf, reading)
        of = reading.pairs[:, 0]
        total = mean_of(items, of, int(of.max()) + 1).sum()
        (shares,) = torch.autograd.grad(total, leaf)
    return shares


def _differentiate(
    term: Term,
    reading: Reading,
    rows: Tensor,
    shares: Tensor | None,
    families: Families,
    *,
    coupled: bool,
) -> tuple[dict[int, Tensor], Tensor]:
    """Gradients at the prompts of each model's families, and the values of the rows.

    Args:
        term: The term.
        reading: The rows that are read.
        rows: Their numbers among all rows.
        shares: Weight of each of them; of a pair where they are coupled.
        families: The families of all rows.
        coupled: Whether :meth:`Term.reduce` makes numbers of the rows of each part.
    """
    grads: dict[int, Tensor] = {}
    seen: list[Tensor] = []
    device = term.model.device

    def together(
        number: int, place: Tensor, members: Tensor, ends: Sequence[int], chosen: slice
    ) -> None:
        start, stop = ends[chosen.start], ends[chosen.stop]
        model, some = term.models[number], members[start:stop]
        there, part = partial(to_device, device=model.device), reading[some]
        with torch.enable_grad():
            embeds = model.embed(there(part.rows.ids)).detach().requires_grad_()
            given = part if term.splits else part.to(model.device)
            loss = checked(term, term.loss(given, embeds), len(part))
            weights = None if shares is None else shares[to_device(some, shares.device)]
            counted = loss
            if coupled:
                counted = reduced(term, loss, part)
                weights = None if weights is None else part.per_pair(weights)
            if weights is not None:
                counted = counted * to_device(weights, loss.device)
            total = term.weight * counted.sum()
        if not seen:
            seen.append(torch.empty(len(reading), *loss.shape[1:], device=device))
        seen[0][to_device(some, device)] = to_device(loss.detach().float(), device)
        # Nothing reads the last token of a prompt: its likelihood has no gradient there.
        if total.requires_grad:
            (grad,) = torch.autograd.grad(total, embeds)
            columns = part.start[:, None] + torch.arange(grads[number].shape[1])
            columns = columns.clamp(max=grad.shape[1] - 1)
            picked = grad[there(torch.arange(len(some))[:, None]), there(columns)].float()
            family = place[families.family[rows[some]]]
            # Last of all: where memory runs out before, the rows come again.
            grads[number].index_add_(0, there(family), picked)

    for number in torch.unique(families.reader).tolist():
        model, own = term.models[number], families.reader == number
        width = max(1, int(families.length[own].max()))
        size = int(own.sum()), width, model.embedding_table.shape[1]
        grads[number] = torch.zeros(size, device=model.device)
        members = (reading.reader == number).nonzero().squeeze(1)
        counts, sizes = [1] * len(members), reading.lengths[members].tolist()
        if coupled:
            counts, sizes = _pair_sizes(reading)
        ends = [0, *accumulate(counts)]
        call = partial(together, number, own.cumsum(0) - 1, members, ends)
        model.budget.run(sizes, call, share=SHARE)
    return grads, seen[0] if seen else torch.empty(0, device=device)
