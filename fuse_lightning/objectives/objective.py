"""The weighted sum of terms over one prompt."""

import itertools
from collections.abc import Sequence
from functools import cached_property, partial

import torch
from torch import Tensor

from fuse_lightning.adapters import AdapterSettings, FuseAdapter
from fuse_lightning.data.targets import Target
from fuse_lightning.engine.budget import Budget
from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.token_batch import pad
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM, FrozenModel
from fuse_lightning.objectives.frames import covered
from fuse_lightning.objectives.memory import LossMemory
from fuse_lightning.objectives.openings import Openings
from fuse_lightning.objectives.prompts import Prompts, Speller, State
from fuse_lightning.objectives.term import Reading, Term


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
        self.speller = Speller(self.terms[0])
        self._openings: dict[int, Openings] = {}
        for place, term in enumerate(self.terms):
            others = {other.name for other in self.terms if other is not term}
            if term.name in {other.name for other in self.terms[:place]}:
                name = term.name
                numbers = itertools.count(2)
                while term.name in others:
                    term.name = f"{name}_{next(numbers)}"

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
            model.budget = Budget(self.max_batch_tokens, model.turn)

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
        self.speller.begin_step()
        if not all(term.steady for term in self.terms):
            self.memory.clear()
        for term in self.terms:
            term.begin_step(steps)

    def prompts(self, states: Sequence[State], owners: Sequence[int]) -> Prompts:
        """Prompts of some targets, spelt and checked."""
        return self.speller.prompts(states, owners)

    def encode_prompt(self, text: str) -> State:
        """Ids of a text as a prompt behind the primary's prefix."""
        return self.encode_prompts([text])[0]

    def encode_prompts(self, texts: Sequence[str]) -> list[State]:
        """Ids of many texts as prompts behind the primary's prefix."""
        return self.speller.encode(texts)

    def reads_ids(self, term: Term) -> bool:
        """Whether a term's model reads canonical prompts as the ids that they are.

        It is so where their text has these ids behind the term's own prefix, too.
        """
        if term.model is not self.primary or term.fuses:
            return False
        first = self.terms[0]
        if (term.prefix, term.suffix) == (first.prefix, first.suffix):
            return True
        known = term.frame.openings
        apart = known is not None and self.primary.words.separable
        return apart and known == first.frame.openings

    def openings(self, term: Term) -> Openings | None:
        """What first tokens of prompts are read as by a term of the primary.

        ``None`` where it is themselves, as behind the prefix of the first term.
        """
        first, frame = self.terms[0], term.frame
        if term.prefix == first.prefix:
            return None
        if frame.openings is not None and frame.openings == first.frame.openings:
            return None
        if id(term) not in self._openings:
            found = Openings.find(self.primary, frame.prefix, term.compose)
            self._openings[id(term)] = found
        return self._openings[id(term)]

    def read(self, term: Term, prompts: Prompts, *, ids: bool = False) -> Reading:
        """Prompts as a term's model reads them: the text behind prefix and before suffix.

        A language model that would read a prompt's text as its ids gets these at once.

        Args:
            term: The term.
            prompts: The prompts.
            ids: Whether a term of the primary reads the ids in any case, also where their text
                would be read as others. Only the first token is replaced by those of its own
                text, where it cannot stand behind the term's prefix.
        """
        own = term.model is self.primary
        if own and (ids or (isinstance(term.model, CausalLM) and self.reads_ids(term))):
            return self._read_ids(term, prompts)
        owners, texts = prompts.owners, prompts.texts
        pairs = [term.compose(text) for text in texts]
        ends = [term.complete(text, n) for (text, _), n in zip(pairs, owners, strict=True)]
        whole = [text for text, _ in ends]
        encoded = term.model.encode(whole)
        offset = max(place for _, place in pairs)
        starts = torch.full((len(texts),), offset)
        stops = starts + torch.tensor([len(text) for text in texts])
        prompt, wanted = covered(encoded, whole, starts, stops), None
        if any(length for _, length in ends):
            stops = torch.tensor([len(text) for text in whole])
            starts = stops - torch.tensor([length for _, length in ends])
            wanted = covered(encoded, whole, starts, stops)
        return Reading(encoded, prompt, torch.tensor(owners), offset, wanted=wanted)

    def _read_ids(self, term: Term, prompts: Prompts) -> Reading:
        head, tail, openings = term.frame.head, term.frame.tail, self.openings(term)
        bodies = prompts.states
        if openings is not None:
            bodies = [(*openings.ids[s[0]], *s[1:]) if s else s for s in bodies]
        encoded = pad([(*head, *body, *tail) for body in bodies], None, term.model.pad_id)
        places = torch.arange(encoded.ids.shape[1])
        ends = torch.tensor([len(head) + len(body) for body in bodies])
        prompt = (places >= len(head)) & (places < ends[:, None])
        return term.extend(Reading(encoded, prompt, torch.tensor(prompts.owners), 0))

    def beginnings(self, term: Term, prompts: Prompts) -> list[State]:
        """What the model of a term has read where each prompt ends."""
        head = term.frame.head
        if self.reads_ids(term):
            return [(*head, *state) for state in prompts.states]
        reading = self.read(term, prompts)
        rows = zip(prompts.states, reading.encoded.ids, reading.prompt, strict=True)
        return [
            tuple(ids[: int(inside.nonzero()[-1]) + 1].tolist()) if state else head
            for state, ids, inside in rows
        ]

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
        """Losses of every term, all of them computed and none recalled, shape (N, terms)."""
        device = self.primary.device
        found = [to_device(self.term_losses(term, prompts), device) for term in self.terms]
        # Read once, when all of it is under way.
        return torch.stack(found, dim=1).cpu()

    def _keys(self, prompts: Prompts) -> list[tuple[int, State]]:
        # An objective that needs no targets may have none.
        numbers = {place: number for place, (_, number) in enumerate(self._numbers)}
        pairs = zip(prompts.owners, prompts.states, strict=True)
        return [(numbers.get(owner, -1), state) for owner, state in pairs]

    def unknown(self, prompts: Prompts) -> list[int]:
        """Rows whose losses are not remembered."""
        known, _ = self.memory.recall(self._keys(prompts))
        return sorted({*range(len(prompts.states))}.difference(known))

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
        there = partial(to_device, device=term.model.device)
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
