"""AutoPrompt: the best single swap at one position a step (arXiv 2010.15980)."""

from collections.abc import Sequence
from typing import Any, Literal

import torch

from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import State, Term
from fuse_lightning.optimizers.base import SPARE
from fuse_lightning.optimizers.swaps import SwapOptimizer
from fuse_lightning.search import Scored


class AutoPrompt(SwapOptimizer):
    """AutoPrompt optimizer: the best of the tokens that the gradient favours at one position.

    Each step takes one position of the prompt. It ranks all tokens by the first-order change of
    the loss (HotFlip, arXiv 1712.06751), averaged over the examples of the step. The first
    ``top_k`` that give an admitted prompt are scored together with the prompt as it is, on the
    same examples. With :class:`~fuse_lightning.search.GreedySearch` the best of them replaces the
    prompt only if its loss is lower; other frontiers go on from several prompts.

    The token that stands at the position is no candidate. The published code may draw it.

    Args:
        terms: The objective; the model of the first term is the primary, its ids are the state.
        top_k: Tokens with the best predicted change that are scored in a step.
        order: Position of a step: "random" draws it from the target's random stream, as published;
            "in_turn" takes one position after the other, and begins again behind the last.
        steps: Most steps for each target.
        gradient_samples: Prompts with a random token at the position that the gradient is averaged
            over; 0 takes the gradient at the current tokens, as published.
        fresh_examples: Whether candidates are scored by another minibatch than the gradient's, as
            published. It needs ``examples_per_step``.
        **options: Options of every :class:`SwapOptimizer`.

    Raises:
        FuseError: If an option is out of its range, or ``fresh_examples`` has no minibatches.
    """

    def __init__(
        self,
        terms: list[Term],
        top_k: int = 64,
        order: Literal["random", "in_turn"] = "random",
        steps: int = 100,
        gradient_samples: int = 0,
        fresh_examples: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(terms, steps=steps, gradient_samples=gradient_samples, **options)
        if top_k < 1:
            raise FuseError(f"top_k is {top_k}; it must be at least 1")
        if order not in ("random", "in_turn"):
            raise FuseError(f"order is {order!r}; it must be random or in_turn")
        if fresh_examples and self.examples_per_step is None:
            raise FuseError(
                "fresh_examples needs minibatches, but a step reads all examples; give "
                "examples_per_step"
            )
        self.top_k = top_k
        self.order = order
        self.fresh_examples = fresh_examples
        self._parents: dict[tuple[int, State], State] = {}
        """Parent of every swap that is to be scored next, by target and swap."""

    def load(self, device: torch.device | str = "cpu") -> None:
        """Loads the models, and checks ``top_k`` against the number of allowed tokens."""
        super().load(device)
        self.check_choices("top_k", self.top_k)

    def begin_step(self, steps: Sequence[int]) -> None:
        """Tells the objective which step begins, and draws the examples of the gradient."""
        super().begin_step(steps)
        if self.fresh_examples:
            self.choice.draw(self.targets, [2 * step for step in steps])

    def _position(self, state: State, target: int) -> int:
        """Position of a prompt that this step replaces the token of."""
        search = self.searches[target]
        if self.order == "in_turn":
            return (search.step - 1) % len(state)
        return int(torch.randint(len(state), (1,), generator=search.generator))

    def propose(self, states: list[list[State]]) -> list[list[State]]:
        """The prompts themselves, and their swaps at one position."""
        owners = [target for target, found in enumerate(states) for _ in found]
        parents = [state for found in states for state in found]
        places = [self._position(*pair) for pair in zip(parents, owners, strict=True)]
        ranked = min(SPARE * self.top_k, len(self.allowed_ids) - 1)
        favoured = self.best_tokens(parents, owners, ranked, [[place] for place in places])
        if self.fresh_examples:
            self.choice.draw(self.targets, [2 * search.step - 1 for search in self.searches])
        swaps = [
            [(*state[:place], token, *state[place + 1 :]) for token in tokens[0].tolist()]
            for state, place, tokens in zip(parents, places, favoured, strict=True)
        ]
        proposed = [dict.fromkeys(found) for found in states]
        admitted = self.admission.first(swaps, owners, self.top_k)
        for parent, owner, found in zip(parents, owners, admitted, strict=True):
            for swap in found:
                if swap not in proposed[owner]:
                    self._parents[owner, swap] = parent
            proposed[owner].update(dict.fromkeys(found))
        return [[*found] for found in proposed]

    def score(self, proposed: list[list[State]]) -> list[list[Scored[State]]]:
        """Losses of the prompts and of their swaps, but for swaps that change no loss.

        A frontier chooses among equals by their ids, but a prompt stays where none is better.
        """
        scored = super().score(proposed)
        parents, self._parents = self._parents, {}
        changed = []
        for owner, found in enumerate(scored):
            losses = {state: loss for loss, state in found}
            before = {state: losses.get(parents.get((owner, state), ())) for state in losses}
            changed.append([(loss, state) for loss, state in found if loss != before[state]])
        return changed
