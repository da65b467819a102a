"""The weighted sum of terms over one prompt, and its gradients in the primary's tokens."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor

from fuse_lightning.adapters import AdapterSettings, AlignedWord, FuseAdapter, HeadGradient, align
from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM, FrozenModel
from fuse_lightning.models.base import pad
from fuse_lightning.models.budget import Budget
from fuse_lightning.models.transfer import send
from fuse_lightning.objectives.memory import LossMemory
from fuse_lightning.objectives.term import Reading, Term

State = tuple[int, ...]
"""A prompt: its ids in the primary tokenizer."""


@dataclass
class Prompts:
    """N prompts to score.

    Attributes:
        states: Ids in the primary tokenizer.
        owners: Index of each prompt's target in the batch.
        texts: What they spell, without white space around.
        canonical: Whether the text stands behind the primary's prefix as a prompt does and is
            read by the tokenizer as the same ids.
    """

    states: list[State]
    owners: list[int]
    texts: list[str]
    canonical: list[bool]

    def select(self, rows: Sequence[int]) -> "Prompts":
        """Some of them."""
        return Prompts(
            [self.states[row] for row in rows],
            [self.owners[row] for row in rows],
            [self.texts[row] for row in rows],
            [self.canonical[row] for row in rows],
        )


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


class Objective:
    """The sum of weighted terms; the model of the first term is the primary.

    Args:
        terms: The terms.
        adapter: How gradients of the other models reach the primary's tokens.
        max_batch_tokens: Most token positions in one forward.

    Raises:
        FuseError: If there is no term, or all weights are zero.
    """

    def __init__(
        self,
        terms: Sequence[Term],
        adapter: AdapterSettings | None = None,
        max_batch_tokens: int = 8192,
    ) -> None:
        if not terms:
            raise FuseError("the objective has no terms; give at least one")
        if not any(term.weight for term in terms):
            raise FuseError("all weights of the objective are 0; give a term a weight")
        if max_batch_tokens < 1:
            raise FuseError(f"max_batch_tokens is {max_batch_tokens}; it must be at least 1")
        self.terms = list(terms)
        self.settings = adapter or AdapterSettings()
        self.max_batch_tokens = max_batch_tokens
        self.memory = LossMemory()
        """Losses, by number of the target and state."""
        self._numbers: list[tuple[Target, int]] = []
        self._count = itertools.count()
        self._spelt: dict[State, tuple[str, bool]] = {}
        """Text of each state of this step, and whether it is read as the same ids."""
        names: dict[str, int] = {}
        for term in self.terms:
            names[term.name] = names.get(term.name, 0) + 1
            if names[term.name] > 1:
                term.name = f"{term.name}_{names[term.name]}"

    @property
    def primary(self) -> FrozenModel:
        """The model whose ids prompts are."""
        return self.terms[0].model

    def load(self, device: torch.device | str = "cpu") -> None:
        """Loads every model once and checks the terms."""
        shared: dict[tuple[object, ...], FrozenModel] = {}
        for term in self.terms:
            term.model = shared.setdefault(term.model.key, term.model)
            term.model.load(device)
            term.check()
        for model in shared.values():
            model.budget = Budget(self.max_batch_tokens)

    @cached_property
    def _adapters(self) -> dict[int, FuseAdapter]:
        return {}

    def adapter(self, term: Term) -> FuseAdapter:
        """The adapter between the primary and a term's model."""
        key = id(term.model)
        if key not in self._adapters:
            self._adapters[key] = FuseAdapter(self.primary, term.model, self.settings)
        return self._adapters[key]

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Computes what the terms need of a batch of targets, of some perhaps already known."""
        known = {id(target): number for target, number in self._numbers}
        # The target itself is kept with its number: no other object can take its identity.
        self._numbers = [
            (target, known[id(target)] if id(target) in known else next(self._count))
            for target in targets
        ]
        staying = {number for _, number in self._numbers}
        self.memory.forget(lambda key: key[0] not in staying)
        for term in self.terms:
            term.set_targets(targets)

    def begin_step(self, steps: Sequence[int]) -> None:
        """Tells the terms which step of each target begins, from 0."""
        self._spelt.clear()
        if not all(term.steady for term in self.terms):
            self.memory.clear()
        for term in self.terms:
            term.begin_step(steps)

    @cached_property
    def _head(self) -> tuple[State, str]:
        """The primary's prefix as ids, and as they spell it."""
        ids = tuple(
            self.primary.tokenizer(self.terms[0].prefix, add_special_tokens=False).input_ids
        )
        return ids, self.primary.decode([ids])[0] if ids else ""

    def prompts(self, states: Sequence[State], owners: Sequence[int]) -> Prompts:
        """Spells the states and checks that their text is read as the same ids."""
        # What is proposed in a step is scored in it.
        new = [state for state in dict.fromkeys(states) if state not in self._spelt]
        self._spelt.update(zip(new, self._read_back(new), strict=True))
        spelt = [self._spelt[state] for state in states]
        return Prompts(
            list(states),
            list(owners),
            [text for text, _ in spelt],
            [canonical for _, canonical in spelt],
        )

    def _read_back(self, states: Sequence[State]) -> list[tuple[str, bool]]:
        """Text of each state, and whether it is read as the same ids."""
        raw = self._spell(states)
        texts = [text.strip() for text in raw]
        head_ids, head = self._head
        suffix = self.terms[0].suffix
        whole = [f"{head}{text}{' ' + suffix if suffix else ''}" for text in raw]
        rows = self.primary.words.read(whole)
        canonical = []
        for state, text, stripped, row in zip(states, raw, texts, rows, strict=True):
            # Behind a prefix a prompt begins with a space, at the start of a text with none.
            joined = text == (f" {stripped}" if head else stripped)
            ids = [*head_ids, *state]
            canonical.append(not state or (joined and row.ids[: len(ids)] == ids))
        return [*zip(texts, canonical, strict=True)]

    def _spell(self, states: Sequence[State]) -> list[str]:
        head_ids, head = self._head
        full = self.primary.decode([(*head_ids, *state) for state in states]) if states else []
        return [
            text[len(head) :] if state and text.startswith(head) else ""
            for text, state in zip(full, states, strict=True)
        ]

    def encode_prompt(self, text: str) -> State:
        """Ids of a text as a prompt behind the primary's prefix."""
        return self.encode_prompts([text])[0]

    def encode_prompts(self, texts: Sequence[str]) -> list[State]:
        """The same of many texts."""
        head_ids, _ = self._head
        suffix = self.terms[0].suffix
        whole = [Term.compose(self.terms[0], text.strip())[0] for text in texts]
        whole = [text.removesuffix(f" {suffix}") if suffix else text for text in whole]
        return [tuple(row.ids[len(head_ids) :]) for row in self.primary.words.read(whole)]

    def read(self, term: Term, prompts: Prompts, *, ids: bool = False) -> Reading:
        """Prompts as a term's model reads them.

        A language model that shares the primary's tokens reads the ids themselves; every other
        model reads the text, tokenised as a whole.

        Args:
            term: The term.
            prompts: The prompts.
            ids: Whether any model that shares the primary's tokens reads the ids, also where
                their text would be read as others.
        """
        owner = torch.tensor(prompts.owners)
        if term.model is self.primary and (ids or isinstance(term.model, CausalLM)):
            head, tail = self._frame(term)
            rows = [(*head, *state, *tail) for state in prompts.states]
            encoded = pad(rows, None, term.model.pad_id)
            places = torch.arange(encoded.ids.shape[1])
            ends = torch.tensor([len(head) + len(state) for state in prompts.states])
            prompt = (places >= len(head)) & (places < ends[:, None])
            return term.extend(Reading(encoded, prompt, owner, 0))
        texts = [term.compose(text) for text in prompts.texts]
        encoded = term.model.encode([text for text, _ in texts])
        offset = max(place for _, place in texts)
        ends = torch.tensor([offset + len(text) for text in prompts.texts])
        spans = encoded.spans
        # Of some tokenizers the prompt's first token also spans the space before it.
        first = offset - int(offset > len(term.prefix))
        inside = (spans[..., 0] >= first) & (spans[..., 1] <= ends[:, None])
        inside &= spans[..., 0] < spans[..., 1]
        return term.extend(Reading(encoded, inside, owner, offset))

    def check_length(self, prompts: Prompts, what: str) -> None:
        """Checks that every model can read the prompts.

        Raises:
            FuseError: If one cannot; ``what`` says which prompts they are.
        """
        for term in self.terms:
            longest = int(self.read(term, prompts).encoded.mask.sum(1).max())
            if longest > term.model.max_tokens:
                raise FuseError(
                    f"{term.name} reads at most {term.model.max_tokens} tokens, but {what} takes "
                    f"{longest} with prefix and suffix; shorten them"
                )

    def _frame(self, term: Term) -> tuple[State, State]:
        """Ids before and behind a prompt that the primary reads."""
        model = term.model
        if isinstance(model, CausalLM):
            return (*model.start_ids, *model.prefix_ids(term.prefix)), ()
        reading = self.read(term, Prompts([()], [0], ["a"], [True]))
        row, inside = reading.encoded.ids[0].tolist(), reading.prompt[0].nonzero().flatten()
        return tuple(row[: int(inside[0])]), tuple(row[int(inside[-1]) + 1 :])

    @torch.no_grad()
    def losses(self, prompts: Prompts, *, again: bool = False) -> Tensor:
        """Losses of every term, unweighted.

        A text that is longer than a term's model reads has infinite loss. What is known of a
        batch's targets is not computed again.

        Args:
            prompts: N prompts.
            again: Compute all of them, also known ones.

        Returns:
            Shape (N, terms), float32 on the CPU; lower is better.
        """
        keys = self._keys(prompts)
        losses = torch.empty(len(keys), len(self.terms))
        known, values = self.memory.recall([] if again else keys)
        if known:
            losses[known] = values
        if fresh := sorted({*range(len(keys))}.difference(known)):
            part = prompts.select(fresh)
            losses[fresh] = self.term_matrix(part)
            self.memory.keep([keys[row] for row in fresh], losses[fresh])
        return losses

    def term_matrix(self, prompts: Prompts) -> Tensor:
        """The same, all of them computed."""
        device = self.primary.device
        found = [send(self.term_losses(term, prompts), device) for term in self.terms]
        # Read once, when all of it is under way.
        return torch.stack(found, dim=1).cpu()

    def _keys(self, prompts: Prompts) -> list[tuple[int, State]]:
        # An objective that needs no targets may have none.
        numbers = {place: number for place, (_, number) in enumerate(self._numbers)}
        pairs = zip(prompts.owners, prompts.states, strict=True)
        return [(numbers.get(owner, -1), state) for owner, state in pairs]

    def remember(self, prompts: Prompts, losses: Tensor) -> None:
        """Takes losses that are known from elsewhere, shape (N, terms)."""
        self.memory.keep(self._keys(prompts), losses)

    def total(self, losses: Tensor) -> Tensor:
        """Weighted sums of term losses: from (N, terms) to (N,)."""
        weights = torch.tensor([term.weight for term in self.terms])
        # A term that does not count must not turn an infinite loss into no number.
        sums: Tensor = torch.where(weights != 0, losses * weights, 0.0).sum(1)
        return torch.where(torch.isfinite(losses[:, weights != 0]).all(1), sums, torch.inf)

    @torch.no_grad()
    def term_losses(self, term: Term, prompts: Prompts) -> Tensor:
        """Losses of one term, unweighted, shape (N,), float32 on the device of its model."""
        # Different ids can spell one text; a text is scored once for each target.
        first: dict[tuple[object, int], int] = {}
        of: list[object] = list(prompts.states if term.model is self.primary else prompts.texts)
        places = [first.setdefault(key, len(first)) for key in zip(of, prompts.owners, strict=True)]
        keep: dict[int, int] = {}
        for row, place in enumerate(places):
            keep.setdefault(place, row)
        if not keep:
            return torch.empty(0, device=term.model.device)
        reading = self.read(term, prompts.select(list(keep.values())))
        lengths = reading.encoded.mask.sum(1)
        there = partial(send, device=term.model.device)
        losses = torch.full((len(keep),), torch.inf, device=term.model.device)
        order = lengths.argsort()[: int((lengths <= term.model.max_tokens).sum())]

        def score(chosen: slice) -> None:
            part = reading[order[chosen]]
            part = part if term.splits else part.to(term.model.device)
            losses[there(order[chosen])] = term.loss(part).float()

        if term.splits and len(order):
            score(slice(None))
        else:
            term.model.budget.run(lengths[order].tolist(), score)
        return losses[there(torch.tensor(places))]

    def gradients(
        self,
        prompts: Prompts,
        wanted: Callable[[Term], bool],
        slots: Sequence[set[int]],
        *,
        embeddings: bool = False,
    ) -> Iterator[TermGradient]:
        """Gradients of weighted terms at positions of the prompts, one item a term.

        Args:
            prompts: N prompts.
            wanted: Which terms.
            slots: Positions of each prompt whose gradient is needed.
            embeddings: Whether all must be gradients of the primary's embeddings.
        """
        length = max(len(state) for state in prompts.states)
        for column, term in enumerate(self.terms):
            if not term.weight or not wanted(term):
                continue
            reading = self.read(term, prompts, ids=True)
            fits = reading.encoded.mask.sum(1) <= term.model.max_tokens
            # The loss of what is too long to be read is infinite, and has no gradient.
            reading.prompt[~fits] = False
            own = term.model is self.primary
            alignments = [] if own else self._alignments(prompts, reading, slots)
            reading.fixed = self._fixed(reading, slots, None if own else alignments)
            grads, losses = self._backward(term, reading, fits.nonzero().squeeze(1))
            if own:
                heads = [self._own_head(reading, length, grads)]
            else:
                heads = self.adapter(term).pull_back(
                    alignments, length, grads, embeddings=embeddings
                )
            yield TermGradient(column, heads, losses)

    @staticmethod
    def _fixed(
        reading: Reading, slots: Sequence[set[int]], alignments: list[list[AlignedWord]] | None
    ) -> Tensor:
        """How many leading tokens of each text come before the first whose gradient is needed."""
        if alignments is None:
            firsts = torch.tensor([min(wanted) for wanted in slots])
            return reading.prompt.int().argmax(1) + firsts
        width = reading.encoded.ids.shape[1]
        return torch.tensor(
            [
                min((place for word in words for place in word.target), default=width)
                for words in alignments
            ]
        )

    def _backward(self, term: Term, reading: Reading, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Weighted gradients at all embeddings and losses, of some rows."""
        width = term.model.embedding_table.shape[1]
        grads = torch.zeros(*reading.prompt.shape, width, device=term.model.device)
        losses = torch.full((len(reading.owner),), torch.inf, device=term.model.device)

        def together(chosen: slice) -> None:
            some = send(rows[chosen], term.model.device)
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

    def embedding_gradient(self, prompts: Prompts) -> tuple[Tensor, Tensor]:
        """Gradient of the objective at the primary's input embeddings, and the losses there.

        Returns:
            The gradient, shape (N, L, d), zero at positions that an adapter has nothing to say
            of; and unweighted losses, shape (N, terms) on the CPU, no number for a term of
            weight 0. Those of canonical prompts are what :meth:`losses` gives.
        """
        slots = [set(range(len(state))) for state in prompts.states]
        total = torch.zeros(())
        shape = len(prompts.states), len(self.terms)
        losses = torch.full(shape, torch.nan, device=self.primary.device)
        for found in self.gradients(prompts, lambda _: True, slots, embeddings=True):
            losses[:, found.column] = found.losses.to(self.primary.device)
            for head in found.heads:
                grad = torch.where(head.valid.unsqueeze(-1), head.grad, 0.0)
                total = total + grad.to(self.primary.device)
        return total, losses.cpu()

    @torch.no_grad()
    def label_changes(self, prompts: Prompts) -> Tensor | float:
        """The part of swaps' changes that gradients of embeddings cannot know.

        Returns:
            Shape (N, L, V) on the primary's device, or 0 where no term has such a part; lower is
            better.
        """
        length = max(len(state) for state in prompts.states)
        total: Tensor | float = 0.0
        for term in self.terms:
            if term.model is self.primary and term.weight:
                change = term.label_change(self.read(term, prompts, ids=True), length)
                total = total if change is None else total + term.weight * change
        return total

    def _own_head(self, reading: Reading, length: int, grad: Tensor) -> HeadGradient:
        """Gradients of a term that reads the primary's own ids."""
        start = int(reading.prompt.int().argmax(1).max())
        positions = slice(start, start + length)
        valid = send(reading.prompt[:, positions], grad.device)
        return HeadGradient(self.primary.embedding_table.float(), grad[:, positions], valid)

    def _alignments(
        self, prompts: Prompts, reading: Reading, slots: Sequence[set[int]]
    ) -> list[list[AlignedWord]]:
        raw = self._spell(prompts.states)
        inside = reading.prompt.unsqueeze(-1)
        targets = torch.where(inside, reading.encoded.spans - reading.offset, 0).tolist()
        result = []
        for state, text, target, wanted in zip(prompts.states, raw, targets, slots, strict=True):
            lead = len(text) - len(text.lstrip())
            spans = [(a - lead, b - lead) for a, b in self._spans(state, text)]
            words = align(text.strip(), spans, target)
            result.append([word for word in words if wanted.intersection(word.source)])
        return result

    def _spans(self, state: State, text: str) -> list[tuple[int, int]]:
        """Characters that each token of a state spells."""
        pieces = self.primary.pieces
        ends = [0]
        for index in state:
            ends.append(ends[-1] + len(pieces[index]))
        if ends[-1] != len(text):
            # The tokenizer does not simply join pieces: spell every beginning of the state.
            ends = [len(part) for part in self._spell([state[:n] for n in range(len(state) + 1)])]
        return list(itertools.pairwise(ends))
