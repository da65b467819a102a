"""AutoDAN: prompts grown from left to right (arXiv 2310.15140)."""

from typing import Any

import torch
from torch import Tensor

from fuse_lightning.engine.devices import to_device
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import (
    Fluency,
    State,
    Term,
    predicted_change,
    resample,
    smoothed_gradient,
)
from fuse_lightning.optimizers.base import SPARE, PromptOptimizer
from fuse_lightning.optimizers.edit_screen import EditScreen
from fuse_lightning.optimizers.revision import LEAST, Draft, Revision
from fuse_lightning.search import Scored, distinct
from fuse_lightning.utilities.numbers import check_number


class AutoDAN(PromptOptimizer):
    """AutoDAN optimizer: grows a fluent prompt by one token a step.

    All tokens are ranked by the language model's log-probability minus the change of the other
    terms predicted from gradients; the best ``batch_size`` of each state are scored exactly.

    The log-probability counts as much as in the objective: weighted, and as its share of a mean
    over the tokens of the prompt. Where no term is such a mean (:class:`Fluency`), it has the
    weight of the first term whatever the length, as published. So all weights times one number
    rank alike.

    A state ends at ``max_length``, or where the language model gives its end tokens more than
    ``end_probability``.

    Growth alone mends no word. With ``revise``, once prompts have two tokens, half of a step's
    candidates are edits of the best, see :class:`~fuse_lightning.optimizers.revision.Revision`;
    there are at most as many candidates as without.

    Args:
        terms: The objective; the first term's model must be a causal language model.
        batch_size: Candidates scored for each state.
        logit_weight: Factor of the language model in the ranking, against the gradient.
        gradient_weight: Factor of the predicted change in the ranking.
        max_length: Most tokens of a prompt; ``None`` for no limit but the steps.
        end_probability: Probability of an end token, in [0, 1], above which a state is not
            extended.
        revise: Prompts that each step edits, the best so far and those of the step; 0 for none.
        revise_reads: Edits that the language model reads for each one that is scored; 0 ranks
            edits without it. Needs a term that is the writer's own likelihood.
        **options: Options of every :class:`PromptOptimizer`.
    """

    def __init__(
        self,
        terms: list[Term],
        batch_size: int = 64,
        logit_weight: float = 1.0,
        gradient_weight: float = 0.25,
        max_length: int | None = None,
        end_probability: float = 0.5,
        revise: int = 0,
        revise_reads: int = 0,
        **options: Any,
    ) -> None:
        # Only the next token is ever replaced.
        super().__init__(terms, gradient_resample=1.0, **options)
        _check_counts(batch_size, max_length, revise, revise_reads)
        check_number("logit_weight", logit_weight)
        check_number("gradient_weight", gradient_weight)
        check_number("end_probability", end_probability, 0, 1)
        primary = self.objective.primary
        if not isinstance(primary, CausalLM):
            raise FuseError(
                f"AutoDAN writes with a causal language model, but the first term reads "
                f"{primary.model_id!r}, a {primary.kind}; put Fluency first"
            )
        self.writer = primary
        self.batch_size = batch_size
        self.logit_weight = logit_weight
        self.gradient_weight = gradient_weight
        self.max_length = max_length
        self.end_probability = end_probability
        self.revise = revise
        self.revise_reads = revise_reads
        # Candidates of this step that growth has left to revision, for each target.
        self._left: list[int] = []

    def _exact(self, term: Term) -> bool:
        """Whether a term is the writer's own likelihood, so that its change is known."""
        return isinstance(term, Fluency) and term.model is self.objective.primary

    def _predicted(self, term: Term) -> bool:
        """Whether a term's change must be predicted from gradients."""
        return bool(term.weight) and not self._exact(term)

    def propose(self, states: list[list[State]]) -> list[list[State]]:
        """The most promising extensions of each state."""
        chosen = self._extensions(states)
        self._left = [
            self.batch_size * len(found) - len(new)
            for found, new in zip(states, chosen, strict=True)
        ]
        return chosen

    def refine(self, scored: list[list[Scored[State]]]) -> list[list[State]]:
        """Edits of the best prompts, as many as growth has left."""
        edits: list[dict[State, None]] = [{} for _ in scored]
        drafts: list[Draft] = []
        for place, some in enumerate(scored if self.revise else ()):
            drafts += self._drafts(place, some)
        for draft, found in zip(drafts, self._revision.propose(drafts), strict=True):
            edits[draft.owner].update(dict.fromkeys(found))
        return [[*found] for found in edits]

    def _drafts(self, place: int, scored: list[Scored[State]]) -> list[Draft]:
        """Prompts of a target to edit: the best of this step and of the results so far."""
        search = self.searches[place]
        if not self.choice.applies(self.targets[place]):
            # Losses over the examples that choose are not those of a step.
            scored = [*scored, *((best.loss, best.state) for best in search.kept)]
        states = [state for _, state in distinct(scored) if len(state) >= LEAST]
        states = states[: min(self.revise, self._left[place])]
        begun = self._beginnings([state[:n] for state in states for n in range(len(state) + 1)])
        grow = [state in begun and len(state) < self._most for state in states]
        # Divided as evenly as whole numbers can be.
        counts = [(self._left[place] + n) // len(states) for n in range(len(states))][::-1]
        told = search.generator, search.evaluated
        return [
            Draft(state, place, count, *told, more)
            for state, count, more in zip(states, counts, grow, strict=True)
            if all(state[:n] in begun for n in range(len(state)))
        ]

    @property
    def _most(self) -> int:
        """Most tokens of a prompt."""
        return self.writer.max_tokens if self.max_length is None else self.max_length

    @property
    def _revision(self) -> Revision:
        exact = [term for term in self.objective.terms if term.weight and self._exact(term)]
        weight = self.gradient_weight / self._unit
        screen = None
        if exact and self.revise_reads:
            factor, reads = self.logit_weight / self._unit, self.revise_reads
            screen = EditScreen(self.objective, self.admission, exact, factor, weight, reads)
        return Revision(
            self.objective,
            self.admission,
            self.allowed,
            self._likelihood,
            bool(exact),
            self._predicted,
            weight,
            self.gradient_samples,
            screen,
        )

    def _likelihood(self, states: list[State]) -> Tensor:
        """Weighted log-probabilities of what may follow states, in the unit, shape (N, V)."""
        begun = self._beginnings(states)
        _, fluency = self._next(states, [begun[state] for state in states])
        return self.logit_weight * fluency

    def _extensions(self, states: list[list[State]]) -> list[list[State]]:
        begun = self._beginnings([s for found in states for s in found if len(s) < self._most])
        beams = [[state for state in found if state in begun] for found in states]
        owners = [target for target, found in enumerate(beams) for _ in found]
        parents = [state for found in beams for state in found]
        if not parents:
            return beams
        log_probs, fluency = self._next(parents, [begun[state] for state in parents])
        lengths = torch.tensor([[len(state)] for state in parents])
        lengths = to_device(lengths, log_probs.device)
        scores = self.logit_weight * fluency
        if any(term.weight and self._exact(term) for term in self.objective.terms):
            # What a token adds to a mean over tokens.
            scores = scores / (lengths + 1)
        if self.gradient_weight and any(map(self._predicted, self.objective.terms)):
            predicted = self._predict(parents, owners) / self._unit
            scores = scores - self.gradient_weight * predicted
        # An empty prompt is always extended: there is nothing to end yet.
        ended = (lengths > 0) & (_end(self.writer, log_probs) > self.end_probability)
        scores = scores.masked_fill(ended | ~self.allowed, -torch.inf)
        # From here on states are read on the CPU; before, a device goes on without being asked.
        rows = top_rows(scores, SPARE * self.batch_size)
        extended = [
            [(*parent, token) for token in row] for parent, row in zip(parents, rows, strict=True)
        ]
        chosen: list[dict[State, None]] = [{} for _ in states]
        admitted = self.admission.first(extended, owners, self.batch_size, growing=True)
        for parent, owner, found in zip(parents, owners, admitted, strict=True):
            halved = self.revise and len(parent) >= LEAST
            most = (self.batch_size + 1) // 2 if halved else self.batch_size
            chosen[owner].update(dict.fromkeys(found[:most]))
        return [[*found] for found in chosen]

    @property
    def _likelihoods(self) -> list[Term]:
        """The first term, and the other likelihoods under the writer."""
        first, *others = self.objective.terms
        return [first, *(term for term in others if term.weight and self._exact(term))]

    def _beginnings(self, states: list[State]) -> dict[State, list[State]]:
        """Ids that each likelihood's model reads up to the end of a state that can grow."""
        first, *others = self._likelihoods
        states = [*dict.fromkeys(states)]
        prompts = self.objective.prompts(states, [0] * len(states))
        rows = [[(*first.frame.head, *state) for state in states]]
        if states:
            rows += [term.row_readers[0].beginnings(prompts, term.home) for term in others]
        return {
            state: told
            for state, *told in zip(states, *rows, strict=True)
            if max(map(len, told)) < self.writer.max_tokens
        }

    @property
    def _unit(self) -> float:
        """Unit of the ranking's scores, so that only ratios of weights matter.

        The weight of the first term, whose model writes; the others' mean where it has none.
        """
        weights = [abs(term.weight) for term in self.objective.terms if term.weight]
        return abs(self.objective.terms[0].weight) or sum(weights) / len(weights)

    def _next(self, parents: list[State], rows: list[list[State]]) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the next token, and the likelihoods' sum, each (parents, V).

        Behind the first term's prefix, and the sum of all likelihoods by the writer, weighted,
        in the unit. A first term that is none, or has no weight, counts as one unit of it.

        Args:
            parents: The states.
            rows: Ids that each likelihood has read for each state.
        """
        first, *others = self._likelihoods
        told = self.writer.next_log_probs(
            [row for column in zip(*rows, strict=True) for row in column]
        )
        log_probs, *rest = told.view(1 + len(others), len(parents), -1)
        fluency = -log_probs if first.weight < 0 and self._exact(first) else log_probs
        for term, part in zip(others, rest, strict=True):
            part = _of_tokens(term, part, parents)
            fluency = fluency + term.weight / self._unit * part
        return log_probs, fluency

    def _predict(self, parents: list[State], owners: list[int]) -> Tensor:
        """Predicted change of the other terms for every next token, shape (parents, V)."""
        samples = []
        for group, (state, owner) in enumerate(zip(parents, owners, strict=True)):
            dummy = (*state, int(self.allowed_ids[0]))
            samples += resample(
                dummy,
                group,
                [len(state)],
                self.gradient_samples,
                self.gradient_resample,
                self.allowed_ids,
                self.searches[owner].generator,
            )
        heads = smoothed_gradient(self.objective, samples, owners, self._predicted)
        return predicted_change(
            heads, [(g, len(state)) for g, state in enumerate(parents)], self.allowed
        )


def _check_counts(batch_size: int, max_length: int | None, revise: int, revise_reads: int) -> None:
    """Checks options that are counts, see :class:`AutoDAN`.

    Raises:
        FuseError: If one is too small, or edits shall be read where there are none.
    """
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("max_length", 1 if max_length is None else max_length, 1),
        ("revise", revise, 0),
        ("revise_reads", revise_reads, 0),
    ):
        if value < least:
            raise FuseError(f"{name} is {value}; it must be at least {least}")
    if revise_reads and not revise:
        raise FuseError(
            f"revise_reads is {revise_reads}, but revise is 0, so there are no edits to read; "
            "set revise to 2"
        )


def _of_tokens(term: Term, log_probs: Tensor, parents: list[State]) -> Tensor:
    """Log-probabilities of tokens under a term; a first token counts as it is re-tokenized."""
    openings = term.row_readers[0].openings(term.home)
    if openings is None:
        return log_probs
    empty = to_device(torch.tensor([[not state] for state in parents]), log_probs.device)
    return torch.where(empty, log_probs[:, openings.first], log_probs)


def _end(writer: CausalLM, log_probs: Tensor) -> Tensor:
    """Probability that a text ends here, shape (N, 1), from log-probabilities of shape (N, V)."""
    ends = to_device(torch.tensor(writer.end_ids, dtype=torch.long), log_probs.device)
    return log_probs[:, ends].exp().sum(1, keepdim=True)


def top_rows(scores: Tensor, count: int) -> list[list[int]]:
    """Indices of the ``count`` highest scores of each row above minus infinity, best first.

    >>> top_rows(torch.tensor([[0.5, 2.0, -torch.inf], [torch.nan, 1.0, 3.0]]), 2)
    [[1, 0], [2, 1]]

    A score that is not a number is none; torch would take it for the highest.
    """
    scores = scores.masked_fill(scores.isnan(), -torch.inf)
    values, indices = scores.topk(min(count, scores.shape[1]), dim=1)
    rows = indices.masked_fill(values == -torch.inf, -1).tolist()
    return [[index for index in row if index >= 0] for row in rows]
