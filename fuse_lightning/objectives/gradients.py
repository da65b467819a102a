"""Gradients of an objective with respect to the primary's tokens."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from fuse_lightning.adapters import AlignedWord, HeadGradient, align
from fuse_lightning.engine.devices import to_device
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives.backward import SHARE, Families, backward
from fuse_lightning.objectives.objective import Objective
from fuse_lightning.objectives.own_tokens import own_heads, own_labels
from fuse_lightning.objectives.prompts import Prompts
from fuse_lightning.objectives.reading import Reading, row_weights
from fuse_lightning.objectives.speller import Speller
from fuse_lightning.objectives.term import Term


@dataclass
class TermGradient:
    """Losses and gradients of one backward pass of a term over N prompts.

    Attributes:
        column: Number of the term.
        heads: The gradients.
        losses: Unweighted losses where the gradient was taken, shape (N,), on the device of the
            term's model; infinite for a prompt that is too long to be read.
    """

    column: int
    heads: list[HeadGradient]
    losses: Tensor


def term_gradients(
    objective: Objective,
    prompts: Prompts,
    wanted: Callable[[Term], bool],
    slots: Sequence[set[int]],
    *,
    embeddings: bool = False,
    examples: Sequence[Sequence[int]] | None = None,
) -> Iterator[TermGradient]:
    """Gradients of weighted terms at positions of the prompts, one item per term.

    Args:
        objective: The objective.
        prompts: N prompts.
        wanted: Which terms.
        slots: Positions of each prompt whose gradient is needed.
        embeddings: Whether all must be gradients of the primary's embeddings.
        examples: Numbers of the examples that each prompt is read with, of terms that have some;
            by default those of the step.

    Yields:
        The gradients of one term and its losses.
    """
    length = max(len(state) for state in prompts.states)
    for column, term in enumerate(objective.terms):
        if not term.weight or not wanted(term):
            continue
        some = None if term.examples is None else examples
        reading = term.read(prompts, some, ids=True)
        families = Families.find(term, reading)
        words = _alignments(objective.speller, prompts, reading, families, slots)
        reading.fixed = _fixed(reading, families, words, slots)
        reading.alike = families.alike(reading)
        team = objective.scores.team
        found = backward(term, reading, families, len(prompts.states), team)
        if term.examples is not None and term.scores_loss:
            exact = read_as_text(term, prompts) & torch.tensor(prompts.canonical)
            told = found.items, found.correct
            objective.scores.remember_items(column, prompts, found.pairs, exact, *told)
        heads = []
        for number, grad in found.grads.items():
            model = term.models[number]
            members = (families.reader == number).nonzero().squeeze(1)
            rows = families.row[members]
            if reading.own is not None and bool((reading.own.kind[rows] >= 0).all()):
                parts = own_heads(
                    model,
                    reading.own[rows],
                    grad,
                    families.length[members],
                    length,
                    embeddings=embeddings,
                    back=objective.back(model) if embeddings else None,
                )
            else:
                parts = objective.adapter(model).pull_back(
                    [words[family] for family in members.tolist()],
                    length,
                    grad,
                    embeddings=embeddings,
                    opening=not objective.terms[0].frame.lead,
                )
            of = families.of[members]
            heads += [_of_prompts(head, of, len(prompts.states)) for head in parts]
        yield TermGradient(column, heads, found.losses)


def _of_prompts(head: HeadGradient, of: Tensor, count: int) -> HeadGradient:
    """Gradients of N prompts, summed over their families."""
    if torch.equal(of, torch.arange(count)):
        return head
    where = to_device(of, head.grad.device)
    counted = torch.where(head.valid.unsqueeze(-1), head.grad, 0.0)
    grad = head.grad.new_zeros(count, *head.grad.shape[1:]).index_add_(0, where, counted)
    times = head.grad.new_zeros(grad.shape[:2]).index_add_(0, where, head.valid.float())
    return HeadGradient(head.table, grad, times > 0, head.known)


def _alignments(
    speller: Speller,
    prompts: Prompts,
    reading: Reading,
    families: Families,
    slots: Sequence[set[int]],
) -> list[list[AlignedWord]]:
    """Words of each family's prompt that hold a wanted slot, with their tokens.

    Those of the reader are counted from the prompt's first. There are none where the reader has
    the primary's tokens.
    """
    result: list[list[AlignedWord]] = []
    kinds = [-1] * len(reading) if reading.own is None else reading.own.kind.tolist()
    wanted = [n for n, row in enumerate(families.row.tolist()) if kinds[row] < 0]
    raw = dict.fromkeys(families.of[torch.tensor(wanted, dtype=torch.long)].tolist(), "")
    raw = dict(zip(raw, speller.spell([prompts.states[n] for n in raw]), strict=True))
    start = reading.start.tolist()
    columns = (families.row, families.of, families.length)
    for row, number, length in zip(*(part.tolist() for part in columns), strict=True):
        if kinds[row] >= 0 or not length:
            result.append([])
            continue
        text, state = raw[number], prompts.states[number]
        lead = len(text) - len(text.lstrip())
        source = [(a - lead, b - lead) for a, b in speller.spans(state, text)]
        inside = slice(start[row], start[row] + length)
        target = (reading.rows.spans[row, inside] - reading.offset[row]).tolist()
        words = align(text.strip(), source, target)
        result.append([word for word in words if slots[number].intersection(word.source)])
    return result


def _fixed(
    reading: Reading,
    families: Families,
    words: Sequence[Sequence[AlignedWord]],
    slots: Sequence[set[int]],
) -> Tensor:
    """Number of leading tokens of each row before the first that needs a gradient."""
    width = reading.rows.ids.shape[1]
    kinds = [-1] * len(reading) if reading.own is None else reading.own.kind.tolist()
    firsts = [1] * len(reading) if reading.own is None else reading.own.firsts.tolist()
    places = []
    for row, number, own in zip(families.row.tolist(), families.of.tolist(), words, strict=True):
        if kinds[row] >= 0:
            place = min(slots[number], default=0)
            places.append(place + firsts[row] - 1 if place else 0)
        else:
            places.append(min((n for word in own for n in word.target), default=width))
    return (reading.start + torch.tensor(places)[families.family]).clamp(max=width)


def embedding_gradient(objective: Objective, prompts: Prompts) -> tuple[Tensor, Tensor]:
    """Gradient of the objective at the primary's input embeddings, and the losses there.

    Args:
        objective: The objective.
        prompts: N prompts, the longest of L tokens.

    Returns:
        The gradient, shape (N, L, d), zero at positions that an adapter has nothing to say
        of; and the losses, see :func:`gradient_heads`.
    """
    heads, losses = gradient_heads(objective, prompts, embeddings=True)
    total = torch.zeros(())
    for head in heads:
        total = total + to_device(head.grad, objective.primary.device)
    return total, losses


def gradient_heads(
    objective: Objective, prompts: Prompts, *, embeddings: bool = False
) -> tuple[list[HeadGradient], Tensor]:
    """Gradients of all terms at all tokens of prompts, and the losses there.

    Args:
        objective: The objective.
        prompts: N prompts, the longest of L tokens.
        embeddings: Whether all must be gradients of the primary's embeddings.

    Returns:
        The gradients, of shape (N, L, ...), zero at positions that an adapter has nothing to say
        of; and unweighted losses, shape (N, terms) on the CPU, no number for a term of
        weight 0, nor for one that selects by other numbers, nor where the gradient was taken at
        other ids than those of the text. Those of canonical prompts are what
        :meth:`Objective.losses` gives.
    """
    slots = [set(range(len(state))) for state in prompts.states]
    heads: list[HeadGradient] = []
    shape = len(prompts.states), len(objective.terms)
    losses = torch.full(shape, torch.nan, device=objective.primary.device)
    for found in term_gradients(objective, prompts, lambda _: True, slots, embeddings=embeddings):
        term = objective.terms[found.column]
        if term.scores_loss:
            told = to_device(found.losses, objective.primary.device)
            read = read_as_text(term, prompts)
            losses[:, found.column] = told.masked_fill(~to_device(read, told.device), torch.nan)
        for head in found.heads:
            grad = torch.where(head.valid.unsqueeze(-1), head.grad, 0.0)
            heads.append(replace(head, grad=grad))
    return heads, losses.cpu()


def read_as_text(term: Term, prompts: Prompts) -> Tensor:
    """Mask of the N canonical prompts whose gradient is taken at the ids of their text, (N,)."""
    if term.reads_ids(prompts) or not any(reader.own for reader in term.row_readers):
        return torch.ones(len(prompts.states), dtype=torch.bool)
    ids, text = (term.read(prompts, ids=ids) for ids in (True, False))
    causal = isinstance(term.model, CausalLM)
    rows = zip(_asked(ids, causal=causal), _asked(text, causal=causal), strict=True)
    of = text.of[[row for row, (one, other) in enumerate(rows) if one != other]]
    return ~torch.isin(torch.arange(len(prompts.states)), of)


def _asked(reading: Reading, *, causal: bool) -> list[list[int]]:
    """Ids of each row up to the last token with a loss, or all of them."""
    asked = reading.prompt if reading.wanted is None else reading.wanted
    asked = asked if causal else reading.rows.mask
    ends = (asked * torch.arange(1, asked.shape[1] + 1)).amax(1).tolist()
    return [row[:end] for row, end in zip(reading.rows.ids.tolist(), ends, strict=True)]


@torch.no_grad()
def label_changes(objective: Objective, prompts: Prompts) -> Tensor | float:
    """Changes of likelihood from swapped labels, which embedding gradients miss.

    Args:
        objective: The objective.
        prompts: N prompts, the longest of L tokens.

    Returns:
        Shape (N, L, V) on the primary's device, or 0 where no term has such a part; lower is
        better.
    """
    length = max(len(state) for state in prompts.states)
    total: Tensor | float = 0.0
    for term in objective.terms:
        # A term without such a part need not be read, as it may have to write for that.
        told = type(term).label_change is not Term.label_change
        if told and term.weight and term.row_readers[0].own:
            part = _label_part(term, prompts, length)
            if part is not None:
                total = total + term.weight * to_device(part, objective.primary.device)
    return total


def _label_part(term: Term, prompts: Prompts, length: int) -> Tensor | None:
    """Label changes of one term, shape (N, L, V), in slices of rows, as logits are large."""
    whole = term.read(prompts, ids=True)
    # Prompts that are too long to be read have no part.
    rows = Families.find(term, whole).readable.nonzero().squeeze(1)
    reading = whole[rows]
    own = reading.own
    if own is None or not len(rows):
        return None
    width = length + int(own.firsts.max()) - 1
    parts: list[Tensor] = []

    def together(chosen: slice) -> None:
        change = term.label_change(reading[chosen])
        if change is not None:
            more = width - change.shape[1]
            parts.append(own_labels(own[chosen], F.pad(change, (0, 0, 0, more)), length))

    term.model.budget.run(reading.lengths.tolist(), together, share=SHARE)
    if not parts:
        return None
    part = torch.cat(parts)
    if reading.plain and len(reading) == len(prompts.states):
        return part
    there = partial(to_device, device=part.device)
    part = part * there(row_weights(reading))[:, None, None]
    total = part.new_zeros(len(prompts.states), *part.shape[1:])
    return total.index_add_(0, there(reading.of), part)
