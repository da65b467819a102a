"""Answers of a model to labelled examples, as probabilities of the classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from fuse_lightning.evaluation.answerer import Answerer, Replies
from fuse_lightning.evaluation.calibration import calibrated
from fuse_lightning.evaluation.deciding import Marked
from fuse_lightning.evaluation.judging import Answers, marked_by_class
from fuse_lightning.evaluation.term_metrics import as_prompts
from fuse_lightning.objectives import Classification, Objective
from fuse_lightning.objectives.row_values import row_values

TOGETHER = 4096
"""Most rows that are laid out together."""
LONGEST = 16
"""How many of the examples with the most characters are tried for the most tokens."""


@dataclass(frozen=True, eq=False)
class LabelReplies(Replies):
    """Answers as probabilities of the classes.

    Attributes:
        probabilities: Shape (N, E, C), float64 on the CPU.
        labels: Number of the right class of each example, shape (E,).
        classes: Names of the classes.
    """

    probabilities: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    @property
    def right(self) -> Tensor:  # type: ignore[override]
        """Whether the likeliest class is the right one, shape (N, E)."""
        return self.probabilities.argmax(2) == self.labels

    @property
    def loss(self) -> Tensor:  # type: ignore[override]
        """Cross-entropy of the right class in nats, shape (N, E)."""
        right = self.probabilities[:, torch.arange(len(self.labels)), self.labels]
        return -right.clamp_min(1e-30).log()

    def calibrated(self, reference: Replies) -> LabelReplies:
        """The same answers without the model's general liking for some classes.

        Args:
            reference: Answers of the same prompts to the examples that choose.
        """
        assert isinstance(reference, LabelReplies)
        shares = calibrated(self.probabilities, reference.probabilities)
        return replace(self, probabilities=shares)

    def only(self, prompt: int) -> LabelReplies:
        """Answers of one of the prompts."""
        return replace(self, probabilities=self.probabilities[[prompt]])

    def marked(self, name: str, text: str, select: float, select_loss: float) -> Marked:
        """Answers of the only prompt, with cross-entropy, calibration and confusion."""
        told = Answers(name, text, self.probabilities[0], select, select_loss)
        return marked_by_class(told, self.labels, len(self.classes))

    def shown(self, example: int) -> dict[str, Any]:
        """The class that is answered, and the probability of the right one."""
        shares = self.probabilities[0, example]
        return {
            "answers": self.classes[int(shares.argmax())],
            "probabilities": float(shares[self.labels[example]]),
        }


class Labeller(Answerer):
    """Answerer of labelled examples: a classification term, and its objective.

    Args:
        objective: The objective, loaded.
        term: One of its terms.
    """

    term: Classification

    def __init__(self, objective: Objective, term: Classification) -> None:
        super().__init__(objective, term)

    @property
    def groups(self) -> list[list[int]]:
        """Numbers of the given target's examples of each class, the first example's class first."""
        by_class: dict[int, list[int]] = {}
        for number, label in enumerate(self.term.batch[0].right.tolist()):
            by_class.setdefault(label, []).append(number)
        return [*by_class.values()]

    def example_text(self, number: int) -> str:
        """Text of an example of the given target with the word of its class."""
        return self.term.shown(0, number)

    def replies(self, texts: Sequence[str], numbers: Sequence[int]) -> LabelReplies:
        """Answers to examples of the target that was given last."""
        return LabelReplies(self.probabilities(texts, numbers), self.right(numbers), self.classes)

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
        empty = torch.zeros(len(texts), 0, len(self.classes), dtype=torch.double)
        return torch.cat([empty, *parts], dim=1)

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

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of the given target."""
        return tuple(self.term.batch[0].verbalizers.classes)
