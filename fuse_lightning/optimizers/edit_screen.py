"""Screen of edits: many are read by the language model alone, and few of them are scored."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from fuse_lightning.objectives import Objective, Prompts, State, Term
from fuse_lightning.optimizers.admission import Admission

SURE = 2.0
"""Factor of predicted changes beside exact likelihoods, where all of a prompt's tokens count."""


class EditScreen:
    """Choice of edits by their exact likelihood and the predicted change of the other terms.

    A new token in the middle changes the likelihood of all tokens behind it, which nothing that is
    known before predicts well. A language model that is smaller than the other models tells it at
    little cost.

    Args:
        objective: The objective, loaded.
        admission: Which prompts may stand.
        likelihoods: The terms that are likelihoods of the primary.
        factor: Factor of their weights, for numbers in the unit of the predicted changes.
        weight: Factor of a predicted change in the ranking.
        reads: Edits that are read for each one that is wanted.
    """

    def __init__(
        self,
        objective: Objective,
        admission: Admission,
        likelihoods: Sequence[Term],
        factor: float,
        weight: float,
        reads: int,
    ) -> None:
        self.objective = objective
        self.admission = admission
        self.likelihoods = likelihoods
        self.factor = factor
        self.weight = weight
        self.reads = reads

    def choose(
        self,
        tried: Sequence[Mapping[State, float]],
        owners: Sequence[int],
        counts: Sequence[int],
    ) -> list[list[State]]:
        """The most promising edits of each prompt, best first.

        Args:
            tried: Edits of each prompt, with their predicted change of the other terms; lower is
                better.
            owners: Target of each prompt.
            counts: Edits wanted of each.
        """
        most = max(map(len, tried), default=0)
        admitted = self.admission.first([[*edits] for edits in tried], owners, most)
        flat = [state for edits in admitted for state in edits]
        of = [owner for owner, edits in zip(owners, admitted, strict=True) for _ in edits]
        losses = iter(self.read(self.objective.prompts(flat, of)).tolist())
        chosen = []
        for edits, changes, count in zip(admitted, tried, counts, strict=True):
            ranked = {state: next(losses) + SURE * self.weight * changes[state] for state in edits}
            chosen.append(sorted(ranked, key=ranked.__getitem__)[:count])
        return chosen

    def read(self, prompts: Prompts) -> Tensor:
        """Weighted sum of the likelihood terms of whole prompts, shape (N,); lower is better."""
        total = torch.zeros(len(prompts.states))
        for term in self.likelihoods:
            told = self.objective.scores.term_losses(term, prompts).cpu()
            total += self.factor * term.weight * told
        return total
