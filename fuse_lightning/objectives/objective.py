"""Objective: the weighted sum of terms over prompts."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fuse_lightning.adapters import AdapterSettings, FuseAdapter
from fuse_lightning.adapters.maps import fit_map
from fuse_lightning.data.targets import Target
from fuse_lightning.engine.budget import Budget
from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel
from fuse_lightning.objectives.prompts import Prompts, State
from fuse_lightning.objectives.scores import Scores
from fuse_lightning.objectives.speller import Speller
from fuse_lightning.objectives.term import Term
from fuse_lightning.utilities.words import distinct_names


class Objective:
    """Weighted sum of terms; the model of the first term is the primary.

    Args:
        terms: The terms.
        adapter: How gradients of the other models reach the primary's tokens.
        max_batch_tokens: Most token positions in one forward.

    Raises:
        FuseError: If there is no term, or all weights or all score weights are zero.
    """

    def __init__(
        self,
        terms: Sequence[Term],
        adapter: AdapterSettings | None = None,
        max_batch_tokens: int = 8192,
    ) -> None:
        if not terms:
            raise FuseError("the objective has no terms; give at least one")
        for term in terms:
            if not isinstance(term, Term):
                raise FuseError(
                    f"terms hold {term!r:.60}, which is no Term; give terms such as Fluency, and "
                    "annotate an option of a class of yours as `terms: list[Term]`"
                )
        if not any(term.weight for term in terms):
            raise FuseError("all weights of the objective are 0; give a term a weight")
        if not any(term.selects for term in terms):
            raise FuseError(
                "all score weights of the objective are 0, so that nothing selects; give a term one"
            )
        if max_batch_tokens < 1:
            raise FuseError(f"max_batch_tokens is {max_batch_tokens}; it must be at least 1")
        self.terms = list(terms)
        self.settings = adapter or AdapterSettings()
        self.max_batch_tokens = max_batch_tokens
        self.scores = Scores(self.terms)
        self.drawn: Sequence[Sequence[int] | None] | None = None
        self.speller = Speller(self.terms[0])
        self._adapters: dict[int, FuseAdapter] = {}
        self._backs: dict[int, tuple[Tensor, Tensor]] = {}
        for term in self.terms:
            term.stand_beside(self.terms[0])
        names = distinct_names([term.name for term in self.terms])
        for term, name in zip(self.terms, names, strict=True):
            term.name = name

    @property
    def primary(self) -> FrozenModel:
        """Model whose ids make up prompts."""
        return self.terms[0].model

    @property
    def models(self) -> list[FrozenModel]:
        """Models of all terms, each once."""
        models = {id(model): model for term in self.terms for model in term.models}
        return [*models.values()]

    def load(self, device: torch.device | str = "cpu") -> None:
        """Loads every model once and checks the terms."""
        shared: dict[tuple[object, ...], FrozenModel] = {}
        for term in self.terms:
            term.share(shared)
            for model in term.models:
                model.load(device)
            term.check()
        for model in shared.values():
            model.budget = Budget(self.max_batch_tokens, model.turn)

    def adapter(self, model: FrozenModel) -> FuseAdapter:
        """Adapter between the primary and another model."""
        if id(model) not in self._adapters:
            self._adapters[id(model)] = FuseAdapter(self.primary, model, self.settings)
        return self._adapters[id(model)]

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Gives the terms the targets of a batch; known targets are not encoded again."""
        self.scores.set_targets(targets)
        self.draw(None)
        for term in self.terms:
            term.set_targets(targets)
            _check_examples(term, targets)

    def begin_step(self, steps: Sequence[int]) -> None:
        """Tells the terms which step of each target begins, from 0."""
        self.speller.begin_step()
        if not all(term.steady for term in self.terms):
            self.scores.forget()
            for evaluations in self.scores.evaluations:
                evaluations.forget()
        for term in self.terms:
            term.begin_step(steps)

    def draw(self, numbers: Sequence[Sequence[int] | None] | None) -> None:
        """Sets the examples that losses and gradients are of until the next draw.

        Args:
            numbers: Numbers of the examples of each target; ``None`` for all of them.
        """
        for term in self.terms:
            if numbers is not None and term.examples is not None:
                for owner, some in enumerate(numbers):
                    if some is not None:
                        self.scores.check_examples(term, owner, some)
            term.drawn = numbers
        self.drawn = numbers

    def prompts(self, states: Sequence[State], owners: Sequence[int]) -> Prompts:
        """Prompts of some targets, with their text and whether it is read back as the same ids."""
        return self.speller.prompts(states, owners)

    def encode_prompt(self, text: str) -> State:
        """Ids of a text as a prompt behind the primary's prefix."""
        return self.encode_prompts([text])[0]

    def encode_prompts(self, texts: Sequence[str]) -> list[State]:
        """Ids of many texts as prompts behind the primary's prefix."""
        return self.speller.encode(texts)

    def back(self, model: FrozenModel) -> tuple[Tensor, Tensor] | None:
        """Map from a model's embeddings to the primary's, where both have the same tokens.

        Returns:
            The primary's table, shape (V, D), and the map from it to the model's embeddings,
            shape (1, 1, D, d), on the model's device; ``None`` for the primary itself.
        """
        if model is self.primary:
            return None
        if id(model) not in self._backs:
            table = self.primary.embedding_table.float().to(model.device)
            theirs = model.embedding_table.float()
            with torch.autocast(table.device.type, enabled=False):
                found = fit_map("least_squares", table[:, None], theirs[:, None])
            self._backs[id(model)] = table, found
        return self._backs[id(model)]

    def too_long(self, prompts: Prompts) -> tuple[Term, int, int] | None:
        """A term whose model cannot read the rows of some prompts; ``None`` if all fit.

        Returns:
            The term, how many its model reads and how many there are; ``None`` for no such term.
        """
        for term in self.terms:
            for number, longest in term.longest(prompts).items():
                most = term.models[number].max_tokens
                if longest > most:
                    return term, most, longest
        return None

    def check_length(self, prompts: Prompts, what: str) -> None:
        """Checks that every model can read the prompts.

        Raises:
            FuseError: If one cannot; ``what`` says which prompts they are.
        """
        if found := self.too_long(prompts):
            term, most, longest = found
            raise FuseError(
                f"{term.name} reads at most {most} tokens, but {what} takes {longest} with prefix "
                "and suffix; shorten them"
            )

    def losses(
        self,
        prompts: Prompts,
        examples: Sequence[Sequence[int]] | None = None,
        *,
        again: bool = False,
    ) -> Tensor:
        """Unweighted losses of every term, see :meth:`Scores.losses`."""
        return self.scores.losses(prompts, examples, again=again)

    def total(self, losses: Tensor) -> Tensor:
        """Weighted sums of term losses, by which prompts are selected: from (N, terms) to (N,)."""
        weights = torch.tensor([term.selects for term in self.terms])
        # A term that does not count must not turn an infinite loss into no number.
        sums: Tensor = torch.where(weights != 0, losses * weights, 0.0).sum(1)
        return torch.where(torch.isfinite(losses[:, weights != 0]).all(1), sums, torch.inf)


def _check_examples(term: Term, targets: Sequence[Target]) -> None:
    """Checks how many examples a term says that each target of a batch has.

    Raises:
        FuseError: If it says so for other targets, or one has none.
    """
    counts = term.examples
    if counts is None:
        return
    good = isinstance(counts, Sequence) and len(counts) == len(targets)
    if not good or not all(type(count) is int and count >= 0 for count in counts):
        raise FuseError(
            f"examples of {term.name} is {counts!r:.60}; set_targets must make it a list of how "
            "many examples each target has"
        )
    for target, count in zip(targets, counts, strict=True):
        if not count:
            raise FuseError(
                f"target {target.id!r} has no example, which {term.name} needs; give it one"
            )
