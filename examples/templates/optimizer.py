"""An optimizer: proposes prompts. This one replaces, adds and drops single tokens at random."""

import torch

from fuse_lightning.objectives import State, Term
from fuse_lightning.optimizers import PromptOptimizer


class Wanderer(PromptOptimizer):
    """Random edits of one token.

    Args:
        terms: The objective; the model of the first term is the primary, its ids are the state.
        tries: Edits of each state in a step.
        steps: Most steps for each target.
        prompt_length: Random tokens to start from.
        seed: Seed of the search.
    """

    def __init__(
        self,
        terms: list[Term],
        tries: int = 32,
        steps: int = 16,
        prompt_length: int = 4,
        seed: int = 0,
    ) -> None:
        super().__init__(terms, steps=steps, prompt_length=prompt_length, seed=seed)
        self.tries = tries

    def propose(self, states: list[list[State]]) -> list[list[State]]:
        """Candidates for each target: tuples of ids. Bad ones are dropped where they are scored."""
        return [[s for old in found for s in self._edits(n, old)] for n, found in enumerate(states)]

    def _edits(self, target: int, state: State) -> list[State]:
        tokens, generator = self.draw(target, self.tries), self.searches[target].generator
        places = torch.randint(len(state) + 1, (self.tries,), generator=generator).tolist()
        swapped = [(*state[:n], t, *state[n + 1 :]) for n, t in zip(places, tokens, strict=True)]
        shorter = [state[:n] + state[n + 1 :] for n in places if len(state) > 1]
        return [*dict.fromkeys([state, *swapped, *shorter])]
