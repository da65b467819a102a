"""Gradients of an objective in the tokens of its primary."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fuse_lightning.adapters import AlignedWord, HeadGradient, align
from fuse_lightning.engine.devices import to_device
from fuse_lightning.objectives.objective import Objective
from fuse_lightning.objectives.own_tokens import OwnTokens
from fuse_lightning.objectives.prompts import Prompts, Speller
from fuse_lightning.objectives.term import Reading, Term


@dataclass
class TermGradient:
    """What one backward pass of a term tells of N prompts.

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
) -> Iterator[TermGradient]:
    """Gradients of weighted terms at positions of the prompts, one item a term.

    Args:
        objective: The objective.
        prompts: N prompts.
        wanted: Which terms.
        slots: Positions of each prompt whose gradient is needed.
        embeddings: Whether all must be gradients of the primary's embeddings.

    Yields:
        The gradients of one term and its losses.
    """
    length = max(len(state) for state in prompts.states)
    for column, term in enumerate(objective.terms):
        if not term.weight or not wanted(term):
            continue
        reading = objective.read(term, prompts, ids=True)
        fits = reading.encoded.mask.sum(1) <= term.model.max_tokens
        # The loss of what is too long to be read is infinite, and has no gradient.
        reading.prompt[~fits] = False
        own = OwnTokens.of(objective, term, prompts) if term.model is objective.primary else None
        alignments = [] if own else _alignments(objective.speller, prompts, reading, slots)
        reading.fixed = own.fixed(slots) if own else _fixed(reading, alignments)
        grads, losses = _backward(term, reading, fits.nonzero().squeeze(1))
        if own:
            heads = own.heads(grads, reading.prompt, length, embeddings=embeddings)
        else:
            heads = objective.adapter(term).pull_back(
                alignments,
                length,
                grads,
                embeddings=embeddings,
                opening=not objective.terms[0].frame.lead,
            )
        yield TermGradient(column, heads, losses)


def _fixed(reading: Reading, alignments: list[list[AlignedWord]]) -> Tensor:
    """How many leading tokens of each text come before the first whose gradient is needed."""
    width = reading.encoded.ids.shape[1]
    return torch.tensor(
        [
            min((place for word in words for place in word.target), default=width)
            for words in alignments
        ]
    )


def _backward(term: Term, reading: Reading, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted gradients at all embeddings and losses, of some rows."""
    width = term.model.embedding_table.shape[1]
    grads = torch.zeros(*reading.prompt.shape, width, device=term.model.device)
    losses = torch.full((len(reading.owner),), torch.inf, device=term.model.device)

    def together(chosen: slice) -> None:
        some = to_device(rows[chosen], term.model.device)
        part = reading[rows[chosen]]
        on_device = part.to(term.model.device)
        with torch.enable_grad():
            embeds = term.model.embed(on_device.encoded.ids).detach().requires_grad_()
            loss = term.loss(part if term.splits else on_device, embeds)
            total = term.weight * loss.sum()
        # Nothing reads the last token of a prompt: its likelihood has no gradient there.
        if total.requires_grad:
            (grad,) = torch.autograd.grad(total, embeds)
            grads[some, : grad.shape[1]] = grad.float()
        losses[some] = loss.detach().float()

    lengths = reading.encoded.mask.sum(1)[rows].tolist()
    # A backward keeps activations, several times what a forward needs.
    term.model.budget.run(lengths, together, share=0.5)
    return grads, losses


def embedding_gradient(objective: Objective, prompts: Prompts) -> tuple[Tensor, Tensor]:
    """Gradient of the objective at the primary's input embeddings, and the losses there.

    Args:
        objective: The objective.
        prompts: N prompts, the longest of L tokens.

    Returns:
        The gradient, shape (N, L, d), zero at positions that an adapter has nothing to say
        of; and unweighted losses, shape (N, terms) on the CPU, no number for a term of
        weight 0, nor where the gradient was taken at other ids than those of the text. Those of
        canonical prompts are what :meth:`Objective.losses` gives.
    """
    slots = [set(range(len(state))) for state in prompts.states]
    total = torch.zeros(())
    shape = len(prompts.states), len(objective.terms)
    losses = torch.full(shape, torch.nan, device=objective.primary.device)
    for found in term_gradients(objective, prompts, lambda _: True, slots, embeddings=True):
        told = to_device(found.losses, objective.primary.device)
        read = _read_as_text(objective, objective.terms[found.column], prompts)
        losses[:, found.column] = told.masked_fill(~to_device(read, told.device), torch.nan)
        for head in found.heads:
            grad = torch.where(head.valid.unsqueeze(-1), head.grad, 0.0)
            total = total + to_device(grad, objective.primary.device)
    return total, losses.cpu()


def _read_as_text(objective: Objective, term: Term, prompts: Prompts) -> Tensor:
    """Which of N canonical prompts a term's gradient was taken at as their text is read."""
    if term.model is not objective.primary or objective.reads_ids(term):
        return torch.ones(len(prompts.states), dtype=torch.bool)
    pair = [_asked(objective.read(term, prompts, ids=ids)) for ids in (True, False)]
    return torch.tensor([ids == text for ids, text in zip(*pair, strict=True)])


def _asked(reading: Reading) -> list[list[int]]:
    """Ids of each text as far as something is asked of them."""
    asked = reading.prompt if reading.wanted is None else reading.wanted
    ends = (asked * torch.arange(1, asked.shape[1] + 1)).amax(1).tolist()
    return [row[:end] for row, end in zip(reading.encoded.ids.tolist(), ends, strict=True)]


@torch.no_grad()
def label_changes(objective: Objective, prompts: Prompts) -> Tensor | float:
    """The part of swaps' changes that gradients of embeddings cannot know.

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
        if term.model is objective.primary and term.weight:
            own = OwnTokens.of(objective, term, prompts)
            reading = objective.read(term, prompts, ids=True)
            parts = _label_parts(term, reading, own.longest(length))
            if parts:
                total = total + term.weight * own.labels(torch.cat(parts), length)
    return total


def _label_parts(term: Term, reading: Reading, length: int) -> list[Tensor]:
    """A term's part for some prompts after the others: logits at whole vocabularies are large."""
    parts: list[Tensor] = []

    def together(chosen: slice) -> None:
        rows = torch.arange(len(reading.owner))[chosen]
        if (change := term.label_change(reading[rows], length)) is not None:
            parts.append(change)

    lengths = reading.encoded.mask.sum(1).tolist()
    term.model.budget.run(lengths, together, share=0.5)
    return parts


def _alignments(
    speller: Speller, prompts: Prompts, reading: Reading, slots: Sequence[set[int]]
) -> list[list[AlignedWord]]:
    """Words of each prompt that hold a wanted slot: tokens of the primary and of the reader."""
    raw = speller.spell(prompts.states)
    inside = reading.prompt.unsqueeze(-1)
    targets = torch.where(inside, reading.encoded.spans - reading.offset, 0).tolist()
    result = []
    for state, text, target, wanted in zip(prompts.states, raw, targets, slots, strict=True):
        lead = len(text) - len(text.lstrip())
        spans = [(a - lead, b - lead) for a, b in speller.spans(state, text)]
        words = align(text.strip(), spans, target)
        result.append([word for word in words if wanted.intersection(word.source)])
    return result
