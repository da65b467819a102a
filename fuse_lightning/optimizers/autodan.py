"""AutoDAN: a prompt grown from left to right (arXiv 2310.15140)."""

from functools import partial

import torch

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM, TokenSet
from fuse_lightning.objectives import (
    Fluency,
    State,
    Term,
    predicted_change,
    resample,
    smoothed_gradient,
)
from fuse_lightning.optimizers.base import PromptOptimizer, top_rows


class AutoDAN(PromptOptimizer):
    """Appends one token a step, so that the text stays fluent.

    All tokens are ranked by the language model's log-probability minus the change of the other
    terms predicted from gradients; the best ``batch_size`` of each state are scored exactly.

    A state ends at ``max_length``, or where the language model gives its end tokens more than
    ``end_probability``.

    Args:
        terms: The objective; the first term's model must be a causal language model.
        steps: Steps for each batch of targets.
        batch_size: Candidates scored for each state.
        logit_weight: Weight of the language model in the ranking, against the gradient.
        gradient_weight: Weight of the predicted change in the ranking.
        max_length: Most tokens of a prompt; ``None`` for no limit but the steps.
        end_probability: Probability of an end token above which a state is not extended.
        prompt_length: Random tokens to start from.
        initial_prompt: Text to start from, instead of random tokens.
        tokens: Tokens a prompt may hold: "any", "ascii" or "words".
        patience: End a target after so many steps without a better prompt.
        seed: Seed of the search.
        adapter: How gradients of models with another tokenizer reach the primary's tokens.
        gradient_samples: Random next tokens that a gradient is averaged over; 0 takes it at one
            fixed token, as published code does.
        max_batch_tokens: Most token positions in one forward.
    """

    def __init__(
        self,
        terms: list[Term],
        steps: int = 16,
        batch_size: int = 64,
        logit_weight: float = 1.0,
        gradient_weight: float = 0.25,
        max_length: int | None = None,
        end_probability: float = 0.5,
        prompt_length: int = 0,
        initial_prompt: str = "",
        tokens: TokenSet = "ascii",
        patience: int | None = None,
        seed: int = 0,
        adapter: AdapterSettings | None = None,
        gradient_samples: int = 16,
        max_batch_tokens: int = 8192,
    ) -> None:
        super().__init__(
            terms,
            steps=steps,
            prompt_length=prompt_length,
            initial_prompt=initial_prompt,
            tokens=tokens,
            patience=patience,
            seed=seed,
            adapter=adapter,
            gradient_samples=gradient_samples,
            max_batch_tokens=max_batch_tokens,
        )
        for name, value in (("batch_size", batch_size), ("max_length", max_length or 1)):
            if value < 1:
                raise FuseError(f"{name} is {value}; it must be at least 1")
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

    def _predicted(self, term: Term) -> bool:
        """Whether a term's change must be predicted: the writer's own likelihood is exact."""
        return not (isinstance(term, Fluency) and term.model is self.objective.primary)

    def propose(self, states: list[list[State]]) -> list[list[State]]:
        """The most promising extensions of each state."""
        room = self._room()
        beams = [[state for state in found if len(state) < room] for found in states]
        owners = [target for target, found in enumerate(beams) for _ in found]
        parents = [state for found in beams for state in found]
        if not parents:
            return beams
        head = (*self.writer.start_ids, *self.writer.prefix_ids(self.objective.terms[0].prefix))
        log_probs = self.writer.next_log_probs([(*head, *state) for state in parents]).cpu()
        lengths = torch.tensor([[len(state) + 1] for state in parents])
        scores = self.logit_weight * log_probs / lengths
        if self.gradient_weight and any(map(self._active, self.objective.terms)):
            scores = scores - self.gradient_weight * self._predict(parents, owners)
        scores[:, ~self.allowed] = -torch.inf
        scores[self._ended(parents, log_probs)] = -torch.inf
        # Twice as many as wanted: some will not be read back as the same ids.
        rows = top_rows(scores, 2 * self.batch_size)
        extended = [
            (owner, (*parent, token))
            for owner, parent, row in zip(owners, parents, rows, strict=True)
            for token in row
        ]
        return self._canonical(extended, [len(row) for row in rows], len(states))

    def _room(self) -> int:
        """Most tokens of a prompt that the writer can read behind its prefix."""
        head = self.writer.prefix_ids(self.objective.terms[0].prefix)
        room = self.writer.max_tokens - len(self.writer.start_ids) - len(head)
        return room if self.max_length is None else min(room, self.max_length)

    def _active(self, term: Term) -> bool:
        return bool(term.weight) and self._predicted(term)

    def _ended(self, parents: list[State], log_probs: torch.Tensor) -> torch.Tensor:
        ends = list(self.writer.end_ids)
        ended = log_probs[:, ends].exp().sum(1) > self.end_probability
        # An empty prompt is always extended: there is nothing to end yet.
        started = torch.tensor([len(state) > 0 for state in parents])
        return ended & started

    def _predict(self, parents: list[State], owners: list[int]) -> torch.Tensor:
        """Predicted change of the other terms for every next token, shape (parents, V)."""
        samples = []
        for group, (state, owner) in enumerate(zip(parents, owners, strict=True)):
            dummy = (*state, int(self.allowed_ids[0]))
            samples += resample(
                dummy,
                group,
                [len(state)],
                self.gradient_samples,
                1.0,
                partial(self.draw, owner),
                partial(self.uniform, owner),
            )
        heads = smoothed_gradient(self.objective, samples, owners, self._predicted)
        return predicted_change(heads, [len(state) for state in parents], self.allowed)

    def _canonical(
        self, extended: list[tuple[int, State]], counts: list[int], targets: int
    ) -> list[list[State]]:
        """The first ``batch_size`` extensions of each parent that read back as themselves."""
        prompts = self.objective.prompts(
            [state for _, state in extended], [owner for owner, _ in extended]
        )
        chosen: list[dict[State, None]] = [{} for _ in range(targets)]
        start = 0
        for count in counts:
            rows = range(start, start + count)
            start += count
            good = [row for row in rows if prompts.canonical[row]][: self.batch_size]
            for row in good:
                chosen[prompts.owners[row]][prompts.states[row]] = None
        return [list(states) for states in chosen]
