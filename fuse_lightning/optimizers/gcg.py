"""GCG: greedy coordinate gradient (arXiv 2307.15043)."""

from typing import Any

import torch

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import State, Term
from fuse_lightning.optimizers.base import SPARE
from fuse_lightning.optimizers.swaps import SwapOptimizer
from fuse_lightning.search import Scored

SAMPLES = 16
"""Prompts that a gradient is averaged over where it is not exact."""


class GCG(SwapOptimizer):
    """GCG optimizer: swaps random tokens for some that the gradient favours, and keeps the best.

    With :class:`~fuse_lightning.search.GreedySearch` the best candidate always replaces the
    prompt, as published; :class:`~fuse_lightning.search.HistorySearch` goes on from the best
    prompts so far.

    The published settings are ``batch_size`` 512, ``top_k`` 256, ``merge`` 0 and
    ``gradient_samples`` 0.

    Args:
        terms: The objective; the model of the first term is the primary, its ids are the state.
        steps: Most steps for each target.
        batch_size: Candidates scored for each state. Few candidates and many steps go further
            with the same work than many candidates and few steps.
        top_k: Tokens with the best predicted change among which a position's swap is drawn.
        n_replace: Tokens replaced in each candidate in the first step.
        n_replace_end: ``n_replace`` of the last step, with a straight line between; by default the
            same number throughout.
        merge: Also scores prompts that join the best 2, 3, ... up to ``merge`` single swaps
            at different positions (I-GCG, arXiv 2405.21018); 0 for none.
        gradient_samples: Prompts with random tokens that a gradient is averaged over; 0 takes the
            gradient at the current tokens. By default 0 where one language model or several with
            one tokenizer read the prompt itself, as there the gradient is exact; otherwise 16.
        **options: Options of every :class:`SwapOptimizer`.
    """

    def __init__(
        self,
        terms: list[Term],
        steps: int = 128,
        batch_size: int = 64,
        top_k: int = 64,
        n_replace: int = 1,
        n_replace_end: int | None = None,
        merge: int = 8,
        gradient_samples: int | None = None,
        **options: Any,
    ) -> None:
        samples = SAMPLES if gradient_samples is None else gradient_samples
        super().__init__(terms, steps=steps, gradient_samples=samples, **options)
        self._own_samples = gradient_samples is None
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("top_k", top_k, 1),
            ("n_replace", n_replace, 1),
            ("n_replace_end", 1 if n_replace_end is None else n_replace_end, 1),
            ("merge", merge, 0),
        ):
            if value < least:
                raise FuseError(f"{name} is {value}; it must be at least {least}")
        self.batch_size = batch_size
        self.top_k = top_k
        self.n_replace = n_replace
        self.n_replace_end = n_replace if n_replace_end is None else n_replace_end
        self.merge = merge
        self._parents: list[dict[State, State]] = []
        """Parent of every proposal of this step, for each target."""

    def load(self, device: torch.device | str = "cpu") -> None:
        """Loads the models, and checks ``top_k`` against the number of allowed tokens."""
        super().load(device)
        self.check_choices("top_k", self.top_k)

    def _replacements(self, target: int) -> int:
        """Number of tokens that a candidate of this step replaces."""
        done = (self.searches[target].step - 1) / max(1, self.steps - 1)
        return round(self.n_replace + done * (self.n_replace_end - self.n_replace))

    def propose(self, states: list[list[State]]) -> list[list[State]]:
        """Random swaps of favoured tokens."""
        if self._own_samples:
            exact = all(map(reads_itself, self.objective.terms))
            self.gradient_samples = 0 if exact else SAMPLES
        owners = [target for target, found in enumerate(states) for _ in found]
        parents = [state for found in states for state in found]
        favoured = self.best_tokens(parents, owners, self.top_k)
        drawn = [
            self.replaced(state, tokens, SPARE * self.batch_size, self._replacements(owner), owner)
            for state, tokens, owner in zip(parents, favoured, owners, strict=True)
        ]
        admitted = self.admission.first(drawn, owners, self.batch_size)
        self._parents = [{} for _ in states]
        for parent, owner, found in zip(parents, owners, admitted, strict=True):
            self._parents[owner].update(dict.fromkeys(found, parent))
        return self.or_itself([[*found] for found in self._parents], states)

    def refine(self, scored: list[list[Scored[State]]]) -> list[list[State]]:
        """Combinations of the best swaps in the prompt with the best single swap."""
        joined = [
            self._joined(sorted(found), self._parents[target]) if self.merge > 1 else []
            for target, found in enumerate(scored)
        ]
        return self.admission.first(joined, range(len(scored)), self.merge)

    def _joined(self, scored: list[Scored[State]], parents: dict[State, State]) -> list[State]:
        # Devices that share a target score the candidates of the first one.
        scored = [(loss, state) for loss, state in scored if state in parents]
        if not scored:
            return []
        parent = parents[scored[0][1]]
        tokens, changed, joined = [*parent], 0, []
        for _, state in scored:
            if parents[state] != parent:
                continue
            places = [i for i, (a, b) in enumerate(zip(parent, state, strict=True)) if a != b]
            if any(tokens[i] != parent[i] for i in places):
                continue
            for i in places:
                tokens[i] = state[i]
            changed += 1
            if changed > 1:
                joined.append(tuple(tokens))
            if changed == self.merge:
                break
        return [state for state in joined if state not in parents]


def reads_itself(term: Term) -> bool:
    """Whether language models read a prompt as its own ids, alone and in one row each.

    A gradient at the current tokens then costs one row, and is exact. Where rows hold examples,
    samples share them out, so that many cost no more than one; text that the model has written
    differs from prompt to prompt.
    """
    alone = term.examples is None and not term.chained
    readers = zip(term.models, term.row_readers, strict=True)
    return alone and all(isinstance(model, CausalLM) and reader.own for model, reader in readers)
