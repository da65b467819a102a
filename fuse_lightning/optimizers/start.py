"""Prompts that searches start from, where they are given a text or a captioner."""

import torch
from torch import Tensor

from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CaptionModel
from fuse_lightning.objectives import Objective, State
from fuse_lightning.optimizers.constraints import Constraints


class Start:
    """What ``initial_prompt`` gives the search of a target to start from.

    Args:
        given: A text, or a captioner whose caption of a target's first picture it is.
        objective: Its primary spells the prompt, all its models read it.
        constraints: What a prompt may hold.
        allowed_ids: The primary's tokens that the constraints admit, shape (A,), on the CPU.
    """

    def __init__(
        self,
        given: str | CaptionModel,
        objective: Objective,
        constraints: Constraints,
        allowed_ids: Tensor,
    ) -> None:
        self.given = given
        self.objective = objective
        self.constraints = constraints
        self.allowed_ids = allowed_ids

    def state(self, target: Target) -> State:
        """The prompt; none where nothing is given, or the captioner finds no word.

        Raises:
            FuseError: If the constraints forbid the text that was given.
        """
        text = self.text(target).strip()
        if bad := self._forbidden(text):
            raise FuseError(
                f"initial_prompt holds {bad!r}, which the constraints forbid; change one of the two"
            )
        return self.objective.encode_prompt(text) if text else ()

    def text(self, target: Target) -> str:
        """The same as a text.

        Raises:
            FuseError: If a captioner is to look at a target without pictures.
        """
        if isinstance(self.given, str):
            return self.given
        target.need_images("the captioner of initial_prompt", "a text to start from")
        (captions,) = self.given.captions(target.images[:1], 1)
        words = next(iter(captions), "").split()
        # A captioner knows nothing of what the models read, nor of what a prompt may say.
        words = [word for word in words if not self._forbidden(word)]
        while words and (self._forbidden(" ".join(words)) or not self._fits(" ".join(words))):
            words.pop()
        return " ".join(words)

    def _forbidden(self, text: str) -> str:
        """What of a text no prompt may hold; empty if nothing."""
        ids = torch.tensor(self.objective.encode_prompt(text), dtype=torch.long)
        bad = ids[~torch.isin(ids, self.allowed_ids)].tolist()
        if bad or not self.constraints.admits(text):
            # Special tokens have no piece of their own.
            pieces = [self.objective.primary.pieces[token].strip() for token in bad]
            return " ".join(pieces).strip() or text
        return ""

    def _fits(self, text: str) -> bool:
        prompts = self.objective.prompts([self.objective.encode_prompt(text)], [0])
        return self.objective.too_long(prompts) is None
