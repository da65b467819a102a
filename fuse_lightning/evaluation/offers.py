"""Offers: prompts that cost no search, of which the best is a floor."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fuse_lightning.data.targets import Example, Target
from fuse_lightning.evaluation.answerer import Answerer, Replies
from fuse_lightning.evaluation.answers import LabelReplies

BEST_STOCK = "the best stock instruction"
"""Name of the floor of instructions."""


@dataclass(frozen=True)
class Offer:
    """Prompts of a floor, of which the best on the examples that choose is taken.

    Attributes:
        name: Name of the floor in a sentence.
        texts: The prompts.
        answerer: What answers with them.
        calibrated: Whether each class's mean is taken away.
        shown: Examples that each prompt shows with their classes; empty for none.
    """

    name: str
    texts: Sequence[str]
    answerer: Answerer
    calibrated: bool = False
    shown: Sequence[Sequence[Example]] = ()

    def adjusted(self, found: Replies, reference: Replies) -> Replies:
        """Answers as this floor gives them.

        Args:
            found: Answers with some of the prompts.
            reference: Answers with the same prompts to the examples that choose.
        """
        if not self.calibrated:
            return found
        assert isinstance(found, LabelReplies)
        return found.calibrated(reference)

    def judges(self, target: Target) -> Tensor:
        """Whether each example that chooses judges each prompt, shape (N, E).

        Whoever shows an example has told its class, and is not asked for it.
        """
        some = [target.seen[number] for number in target.choosing]
        shown = self.shown or [()] * len(self.texts)
        return torch.tensor([[each not in told for each in some] for told in shown])
