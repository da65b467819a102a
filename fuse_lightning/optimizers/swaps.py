"""Token swaps: candidates that replace few tokens of a prompt."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fuse_lightning.engine.devices import to_device
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import (
    State,
    Term,
    label_changes,
    predicted_change,
    resample,
    smoothed_gradient,
)
from fuse_lightning.optimizers.base import PromptOptimizer
from fuse_lightning.utilities.numbers import check_number


class SwapOptimizer(PromptOptimizer):
    """Base of optimizers that replace tokens of a prompt and keep its length.

    Args:
        terms: The objective; the model of the first term is the primary, its ids are the state.
        prompt_length: Random tokens to start from.
        length_ratio: Prompt length as a share of the tokens of the target's text, in place of
            ``prompt_length``: 0.3 searches for a prompt of a third of the text's length.
        **options: Options of every :class:`PromptOptimizer`.
    """

    def __init__(
        self,
        terms: list[Term],
        prompt_length: int = 8,
        length_ratio: float | None = None,
        **options: Any,
    ) -> None:
        super().__init__(terms, prompt_length=prompt_length, **options)
        if length_ratio is not None:
            check_number("length_ratio", length_ratio)
            if length_ratio <= 0:
                raise FuseError(f"length_ratio is {length_ratio}; it must be above 0")
        self.length_ratio = length_ratio

    def check_choices(self, name: str, count: int) -> None:
        """Checks an option against the number of allowed tokens.

        Raises:
            FuseError: If there are fewer.
        """
        # One allowed token already stands at a position.
        others = len(self.allowed_ids) - 1
        if count > others:
            raise FuseError(
                f"{name} is {count}, but a token can be replaced by only {others} others; "
                f"lower {name} or relax constraints"
            )

    def start_length(self, target: int) -> int:
        """Number of tokens of a random start."""
        if self.length_ratio is None:
            return super().start_length(target)
        text = self.targets[target].text
        if not text:
            raise FuseError(
                f"target {self.targets[target].id!r} has no text that length_ratio could be a "
                "share of; give data.texts or prompt_length"
            )
        return max(1, round(self.length_ratio * len(self.objective.encode_prompt(text))))

    def initial_state(self, target: int) -> State:
        """Start prompt of a target's search.

        Raises:
            FuseError: If it has no token to replace.
        """
        state = super().initial_state(target)
        if not state:
            raise FuseError(
                f"{type(self).__name__} replaces tokens, but the prompt it starts from is empty; "
                "set prompt_length or initial_prompt"
            )
        return state

    def or_itself(self, found: list[list[State]], states: list[list[State]]) -> list[list[State]]:
        """Candidates; the states themselves where the constraints admit none."""
        return [group or old for group, old in zip(found, states, strict=True)]

    def best_tokens(
        self,
        states: Sequence[State],
        owners: Sequence[int],
        top_k: int,
        places: Sequence[Sequence[int]] | None = None,
    ) -> list[Tensor]:
        """The ``top_k`` tokens with the best predicted change at positions of each state.

        The token that stands there is none of them.

        Args:
            states: The prompts.
            owners: Target of each.
            top_k: How many tokens.
            places: P positions of each prompt; by default all.

        Returns:
            For each state the tokens, best first, shape (P, top_k), on the CPU.
        """
        places = [range(len(state)) for state in states] if places is None else places
        tokens = []
        found = self.token_changes(states, owners, places)
        for state, slots, change in zip(states, places, found, strict=True):
            change = change.masked_fill(~self.allowed, torch.inf)
            standing = torch.tensor([[state[slot]] for slot in slots])
            change.scatter_(1, to_device(standing, change.device), torch.inf)
            tokens.append(change.topk(top_k, largest=False).indices)
        return [*torch.split(torch.cat(tokens).cpu(), [len(slots) for slots in places])]

    def token_changes(
        self,
        states: Sequence[State],
        owners: Sequence[int],
        places: Sequence[Sequence[int]],
    ) -> list[Tensor]:
        """Predicted changes of the objective for every token at positions of each state.

        Args:
            states: The prompts.
            owners: Target of each.
            places: P positions of each prompt.

        Returns:
            For each state shape (P, V) on the device of the primary; lower is better.
        """
        samples = [
            sample
            for group, (state, owner) in enumerate(zip(states, owners, strict=True))
            for sample in resample(
                state,
                group,
                places[group],
                self.gradient_samples,
                self.gradient_resample,
                self.allowed_ids,
                self.searches[owner].generator,
            )
        ]
        heads = smoothed_gradient(self.objective, samples, owners, lambda term: bool(term.weight))
        labels = label_changes(self.objective, self.objective.prompts(states, owners))
        changes = []
        for group, slots in enumerate(places):
            change = predicted_change(heads, [(group, slot) for slot in slots], self.allowed)
            if not isinstance(labels, float):
                change += labels[group, to_device(torch.tensor([*slots]), labels.device)]
            changes.append(change)
        return changes

    def replaced(
        self, state: State, tokens: Tensor, count: int, n_replace: int, owner: int
    ) -> list[State]:
        """Distinct prompts with ``n_replace`` random tokens of ``state`` replaced.

        Args:
            state: The prompt.
            tokens: Tokens to choose from at each position, shape (L, k).
            count: How many prompts, at most.
            n_replace: Positions replaced in each.
            owner: The target whose random stream is used.
        """
        length, choices = tokens.shape
        n_replace = min(n_replace, length)
        generator = self.searches[owner].generator
        if n_replace == 1:
            # Without replacement: a swap that is drawn twice is wasted.
            flat = torch.randperm(length * choices, generator=generator)[:count]
            return [
                (*state[:i], int(tokens[i, j]), *state[i + 1 :])
                for i, j in zip((flat // choices).tolist(), (flat % choices).tolist(), strict=True)
            ]
        places = torch.rand(count, length, generator=generator).argsort(1)[:, :n_replace]
        picks = torch.randint(choices, (count, n_replace), generator=generator)
        rows = torch.tensor(state).repeat(count, 1).scatter(1, places, tokens[places, picks])
        return list(dict.fromkeys(tuple(row) for row in rows.tolist()))
