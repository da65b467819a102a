"""Screen of edits: one side of the objective reads many, and few of them are scored."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from fuse_lightning.objectives import Objective, Prompts, State, Term
from fuse_lightning.optimizers.admission import Admission

SURE = 2.0
"""Factor of predicted changes beside exact likelihoods, where all of a prompt's tokens count."""


class Guess(NamedTuple):
    """What is known of an edit before any model has read it; lower is better.

    Attributes:
        likelihood: Loss of the likelihood terms as if the tokens behind the edit stayed as likely
            as they were.
        change: Predicted change of the other terms.
    """

    likelihood: float
    change: float


class EditScreen:
    """Choice of edits by what one side of the objective reads, and by guesses of the other.

    Where the language model is the cheaper side, it tells how likely a whole edit is: a new token
    in the middle changes the likelihood of all tokens behind it, which nothing that is known before
    predicts well. Where the other models are the cheaper side, they tell their exact losses, which
    gradients predict badly; the likelihood of a new token behind what stands before it is known
    from growth, and those behind it are taken for unchanged.

    Args:
        objective: The objective, loaded.
        admission: Which prompts may stand.
        terms: The terms that read.
        likelihoods: Whether these are the likelihoods of the primary; else they are all others.
        factor: Factor of their weights, for numbers in the unit of the guesses.
        weight: Factor of a predicted change in the ranking.
        reads: Edits that are read for each one that is wanted.
    """

    def __init__(
        self,
        objective: Objective,
        admission: Admission,
        terms: Sequence[Term],
        likelihoods: bool,
        factor: float,
        weight: float,
        reads: int,
    ) -> None:
        self.objective = objective
        self.admission = admission
        self.terms = terms
        self.likelihoods = likelihoods
        self.factor = factor
        self.weight = weight
        self.reads = reads

    def choose(
        self,
        tried: Sequence[Mapping[State, Guess]],
        owners: Sequence[int],
        counts: Sequence[int],
    ) -> list[list[State]]:
        """The most promising edits of each prompt, best first.

        Args:
            tried: Edits of each prompt.
            owners: Target of each prompt.
            counts: Edits wanted of each.
        """
        most = max(map(len, tried), default=0)
        admitted = self.admission.first([[*edits] for edits in tried], owners, most)
        flat = [state for edits in admitted for state in edits]
        of = [owner for owner, edits in zip(owners, admitted, strict=True) for _ in edits]
        losses = iter(self.read(self.objective.prompts(flat, of)).tolist())
        chosen = []
        for edits, guesses, count in zip(admitted, tried, counts, strict=True):
            ranked = {state: next(losses) + self._unread(guesses[state]) for state in edits}
            chosen.append(sorted(ranked, key=ranked.__getitem__)[:count])
        return chosen

    def _unread(self, guess: Guess) -> float:
        """What the side that does not read counts."""
        return SURE * self.weight * guess.change if self.likelihoods else guess.likelihood

    def read(self, prompts: Prompts) -> Tensor:
        """Weighted sum of the terms over whole prompts, shape (N,); lower is better."""
        total = torch.zeros(len(prompts.states))
        for term in self.terms:
            told = self.objective.scores.term_losses(term, prompts).cpu()
            total += self.factor * term.weight * told
        return total
