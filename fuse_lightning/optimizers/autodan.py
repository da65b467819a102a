"""AutoDAN: prompts grown from left to right (arXiv 2310.15140)."""

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from fuse_lightning.engine.devices import to_device
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import (
    State,
    Term,
    predicted_change,
    resample,
    smoothed_gradient,
)
from fuse_lightning.optimizers.base import SPARE, PromptOptimizer
from fuse_lightning.optimizers.edit_screen import EditScreen
from fuse_lightning.optimizers.next_tokens import NextTokens
from fuse_lightning.optimizers.revision import LEAST, Draft, Revision
from fuse_lightning.optimizers.revision_default import REVISED, Plan, plan
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

    Growth alone mends no word. With ``revise``, once prompts have two tokens, a part of a step's
    candidates are edits of the best, see :class:`~fuse_lightning.optimizers.revision.Revision`;
    there are at most as many candidates as without. One side of the objective reads many edits,
    and few of them are scored. By default prompts are edited where one side is cheap: half of the
    candidates are edits where that is the writer, a fifth where it is the other models; see
    :func:`~fuse_lightning.optimizers.revision_default.plan`.

    Args:
        terms: The objective; the first term's model must be a causal language model.
        batch_size: Candidates scored for each state.
        logit_weight: Factor of the language model in the ranking, against the gradient.
        gradient_weight: Factor of the predicted change in the ranking.
        max_length: Most tokens of a prompt; ``None`` for no limit but the steps.
        end_probability: Probability of an end token, in [0, 1], above which a state is not
            extended.
        revise: Prompts that each step edits, the best so far and those of the step; 0 for none.
            ``None`` for 2 where ``revise_reads`` readings by the language model take at most the
            operations of one by the other models, or three times as many by these at most those of
            one by the language model; and else 0.
        revise_reads: Edits that the language model reads for each one that is scored; where the
            other models read, three times as many. 0 ranks edits unread, as does an objective
            without a term that is the writer's own likelihood.
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
        revise: int | None = None,
        revise_reads: int = 4,
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
        self.next_tokens = NextTokens(self.objective, primary)
        self.batch_size = batch_size
        self.logit_weight = logit_weight
        self.gradient_weight = gradient_weight
        self.max_length = max_length
        self.end_probability = end_probability
        self.revise = revise
        self.revise_reads = revise_reads
        # Candidates of this step that growth has left to revision, for each target.
        self._left: list[int] = []

    def _predicted(self, term: Term) -> bool:
        """Whether a term's change must be predicted from gradients."""
        return bool(term.weight) and not self.next_tokens.exact(term)

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
        for place, some in enumerate(scored if self.revised else ()):
            drafts += self._drafts(place, some)
        for draft, found in zip(drafts, self._revision.propose(drafts), strict=True):
            edits[draft.owner].update(dict.fromkeys(found))
        return [[*found] for found in edits]

    def _drafts(self, place: int, scored: list[Scored[State]]) -> list[Draft]:
        """Prompts of a target to edit: the best of this step and of the results so far."""
        search = self.searches[place]
        if not self.choice.applies(self.targets[place]):
            # Losses over the examples that choose are not those of a step. How many prompts are
            # reported changes no search, so that the best alone counts.
            scored = [*scored, *((best.loss, best.state) for best in search.kept[:1])]
        states = [state for _, state in distinct(scored) if len(state) >= LEAST]
        states = states[: min(self.revised, self._left[place])]
        begun = self.next_tokens.beginnings(
            [state[:n] for state in states for n in range(len(state) + 1)]
        )
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

    @cached_property
    def _planned(self) -> tuple[Plan, bool]:
        """How prompts are edited, and whether that is cheap, once the models are loaded."""
        return plan(self.objective.terms, self.next_tokens.own, self.revise_reads)

    @property
    def revised(self) -> int:
        """Prompts that each step edits, once the models are loaded."""
        if self.revise is not None:
            return self.revise
        return REVISED if self._planned[1] else 0

    @property
    def _revision(self) -> Revision:
        exact = self.next_tokens.own
        weight = self.gradient_weight / self.next_tokens.unit
        screen = None
        if exact and self.revise_reads:
            by_writer, reads, _ = self._planned[0]
            terms = exact if by_writer else [*filter(self._predicted, self.objective.terms)]
            factor = (self.logit_weight if by_writer else 1.0) / self.next_tokens.unit
            objective, admission = self.objective, self.admission
            screen = EditScreen(objective, admission, terms, by_writer, factor, weight, reads)
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
        begun = self.next_tokens.beginnings(states)
        rows = [begun[state] for state in states]
        _, fluency = self.next_tokens.log_probs(states, rows, nested=True)
        return self.logit_weight * fluency

    def _extensions(self, states: list[list[State]]) -> list[list[State]]:
        begun = self.next_tokens.beginnings(
            [s for found in states for s in found if len(s) < self._most]
        )
        beams = [[state for state in found if state in begun] for found in states]
        owners = [target for target, found in enumerate(beams) for _ in found]
        parents = [state for found in beams for state in found]
        if not parents:
            return beams
        log_probs, fluency = self.next_tokens.log_probs(
            parents, [begun[state] for state in parents]
        )
        lengths = torch.tensor([[len(state)] for state in parents])
        lengths = to_device(lengths, log_probs.device)
        scores = self.logit_weight * fluency
        if self.next_tokens.own:
            # What a token adds to a mean over tokens.
            scores = scores / (lengths + 1)
        if self.gradient_weight and any(map(self._predicted, self.objective.terms)):
            predicted = self._predict(parents, owners) / self.next_tokens.unit
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
        share = int(self.batch_size * self._planned[0].share)
        # Few candidates hold an edit too, and one is growth.
        edits = max(share, min(1, self.batch_size - 1)) if self.revised else 0
        for parent, owner, found in zip(parents, owners, admitted, strict=True):
            most = self.batch_size - (edits if len(parent) >= LEAST else 0)
            chosen[owner].update(dict.fromkeys(found[:most]))
        return [[*found] for found in chosen]

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


def _check_counts(
    batch_size: int, max_length: int | None, revise: int | None, revise_reads: int
) -> None:
    """Checks options that are counts, see :class:`AutoDAN`.

    Raises:
        FuseError: If one is too small.
    """
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("max_length", 1 if max_length is None else max_length, 1),
        ("revise", revise or 0, 0),
        ("revise_reads", revise_reads, 0),
    ):
        if value < least:
            raise FuseError(f"{name} is {value}; it must be at least {least}")


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
