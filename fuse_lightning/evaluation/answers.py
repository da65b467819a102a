"""Answers of a model to labelled examples, as probabilities of the classes."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fuse_lightning.data.targets import Target
from fuse_lightning.evaluation.term_metrics import as_prompts
from fuse_lightning.objectives import Classification, Objective
from fuse_lightning.objectives.row_values import row_values

TOGETHER = 4096
"""Most rows that are laid out together."""
LONGEST = 16
"""How many of the examples with the most characters are tried for the most tokens."""


class Labeller:
    """Labeller of examples: a classification term, and its objective.

    Args:
        objective: The objective, loaded.
        term: One of its terms.
    """

    def __init__(self, objective: Objective, term: Classification) -> None:
        self.objective = objective
        self.term = term

    def give(self, target: Target) -> None:
        """Gives the objective a target alone; its ``seen`` examples are then answered."""
        self.objective.set_targets([target])

    @torch.no_grad()
    def probabilities(self, texts: Sequence[str], numbers: Sequence[int]) -> Tensor:
        """Probabilities of the classes of the target that was given last.

        Args:
            texts: N prompts.
            numbers: Numbers of E of its examples.

        Returns:
            Shape (N, E, C), float64 on the CPU. A prompt that leaves no room for an example has
            equal probabilities there.
        """
        words = len(self.term.batch[0].verbalizers.words)
        size = max(1, TOGETHER // (words * max(1, len(texts))))
        parts = []
        for begin in range(0, len(numbers), size):
            some = numbers[begin : begin + size]
            prompts = as_prompts(self.objective, texts, [0] * len(texts))
            reading = self.term.read(prompts, [some] * len(texts))
            values = row_values(self.term, reading, self.term.score).cpu().double()
            # Where there is room for some words alone, these would be the answer.
            unread = torch.isin(reading.item, reading.item[values.isinf()])
            values = values.masked_fill(unread, torch.inf)
            parts.append(self.term.log_probs(values, reading).exp().view(len(texts), len(some), -1))
        classes = len(self.term.batch[0].verbalizers.classes)
        return torch.cat([torch.zeros(len(texts), 0, classes, dtype=torch.double), *parts], dim=1)

    def fits(self, text: str) -> bool:
        """Whether the model can read a prompt together with the longest examples."""
        rows = self.term.batch[0].rows
        order = sorted(range(len(rows)), key=lambda n: -sum(map(len, rows[n][0].values())))
        prompts = as_prompts(self.objective, [text], [0])
        reading = self.term.read(prompts, [order[:LONGEST]])
        return int(reading.lengths.max()) <= self.term.model.max_tokens

    def right(self, numbers: Sequence[int]) -> Tensor:
        """Numbers of the right classes of some examples, shape (E,)."""
        return self.term.batch[0].right[torch.tensor([*numbers], dtype=torch.long)]
