"""Likelihoods of every next token under the writer, as the objective counts them."""

import torch
from torch import Tensor

from fuse_lightning.engine.devices import to_device
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import Fluency, Objective, State, Term


class NextTokens:
    """Likelihoods of every token behind prompts, summed over the terms that are likelihoods.

    Args:
        objective: The objective.
        writer: Its primary, which writes prompts.
    """

    def __init__(self, objective: Objective, writer: CausalLM) -> None:
        self.objective = objective
        self.writer = writer

    def exact(self, term: Term) -> bool:
        """Whether a term is the writer's own likelihood, so that its change is known."""
        return isinstance(term, Fluency) and term.model is self.writer

    @property
    def own(self) -> list[Term]:
        """The terms that are the writer's own likelihood."""
        return [term for term in self.objective.terms if term.weight and self.exact(term)]

    @property
    def _read(self) -> list[Term]:
        """The first term, and the other likelihoods under the writer."""
        first = self.objective.terms[0]
        return [first, *(term for term in self.own if term is not first)]

    def beginnings(self, states: list[State]) -> dict[State, list[State]]:
        """Ids that each likelihood's model reads up to the end of a state that can grow."""
        first, *others = self._read
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
    def unit(self) -> float:
        """Unit of the ranking's scores, so that only ratios of weights matter.

        The weight of the first term, whose model writes; the others' mean where it has none.
        """
        weights = [abs(term.weight) for term in self.objective.terms if term.weight]
        return abs(self.objective.terms[0].weight) or sum(weights) / len(weights)

    def log_probs(
        self, parents: list[State], rows: list[list[State]], *, nested: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Log-probabilities of the next token, and the likelihoods' sum, each (parents, V).

        Behind the first term's prefix, and the sum of all likelihoods by the writer, weighted,
        in the unit. A first term that is none, or has no weight, counts as one unit of it.

        Args:
            parents: The states.
            rows: Ids that each likelihood has read for each state.
            nested: Whether they are beginnings of each other, which are read together.
        """
        first, *others = self._read
        read = self.writer.nested_log_probs if nested else self.writer.next_log_probs
        told = read([row for column in zip(*rows, strict=True) for row in column])
        log_probs, *rest = told.view(1 + len(others), len(parents), -1)
        fluency = -log_probs if first.weight < 0 and self.exact(first) else log_probs
        for term, part in zip(others, rest, strict=True):
            part = _of_tokens(term, part, parents)
            fluency = fluency + term.weight / self.unit * part
        return log_probs, fluency


def _of_tokens(term: Term, log_probs: Tensor, parents: list[State]) -> Tensor:
    """Log-probabilities of tokens under a term; a first token counts as it is re-tokenized."""
    openings = term.row_readers[0].openings(term.home)
    if openings is None:
        return log_probs
    empty = to_device(torch.tensor([[not state] for state in parents]), log_probs.device)
    return torch.where(empty, log_probs[:, openings.first], log_probs)
