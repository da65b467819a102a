"""Captioner: captions of an image-to-text model, ranked by the objective."""

from collections.abc import Sequence

import torch

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CaptionModel
from fuse_lightning.objectives import State, Term
from fuse_lightning.optimizers.base import PromptOptimizer
from fuse_lightning.optimizers.constraints import Constraints


class Captioner(PromptOptimizer):
    """Optimizer that proposes an image-to-text model's captions of a target's pictures.

    The first step proposes the caption of a beam search and drawn ones, each further step other
    drawn ones beside the prompts that the frontier kept. Captions that the primary spells
    differently are taken as it spells them.

    Args:
        terms: The objective; the model of the first term is the primary, its ids are the state.
        captioner: The captioner, or its id.
        count: Captions of each target in a step, shared by its pictures.
        prefix: Text that captions go on from; it is no part of the prompt.
        max_new_tokens: Most tokens of a caption, in the captioner's tokens.
        steps: Steps for each batch of targets.
        constraints: Constraints on prompts.
        patience: End a target after so many steps without a better prompt; ``None`` for never.
        stop_loss: End a target once its objective is at most this; ``None`` for never.
        max_evaluations: Budget of a target: prompts scored, or pairs of a prompt and an example. A
            target ends after the step that uses a budget up. ``None`` for no limit.
        max_tokens: Budget of positions that models read; targets of a batch share a step's alike.
        max_seconds: Budget of wall time, shared alike too; ``trainer.max_time`` ends the whole run.
        max_flops: Budget of the models' floating-point operations, shared alike too.
        top: Prompts reported for each target, best first.
        seed: Seed of the search; each target has a random stream of its own.
        max_batch_tokens: Most token positions in one forward of the objective.
        rescore: Whether the best captions of a step are scored again in float32 where the
            trainer's precision is a reduced one.
    """

    captioner: CaptionModel
    # What the next step draws may be admitted.
    persists = True

    def __init__(
        self,
        terms: list[Term],
        captioner: str | CaptionModel = "Salesforce/blip2-opt-2.7b",
        count: int = 16,
        prefix: str = "",
        max_new_tokens: int = 24,
        steps: int = 4,
        constraints: Constraints | None = None,
        patience: int | None = None,
        stop_loss: float | None = None,
        max_evaluations: int | None = None,
        max_tokens: int | None = None,
        max_seconds: float | None = None,
        max_flops: float | None = None,
        top: int = 1,
        seed: int = 0,
        max_batch_tokens: int = 8192,
        rescore: bool = True,
    ) -> None:
        super().__init__(
            terms,
            steps=steps,
            constraints=constraints,
            patience=patience,
            stop_loss=stop_loss,
            max_evaluations=max_evaluations,
            max_tokens=max_tokens,
            max_seconds=max_seconds,
            max_flops=max_flops,
            top=top,
            seed=seed,
            max_batch_tokens=max_batch_tokens,
            rescore=rescore,
        )
        for name, value in (("count", count), ("max_new_tokens", max_new_tokens)):
            if value < 1:
                raise FuseError(f"{name} is {value}; it must be at least 1")
        if not isinstance(captioner, CaptionModel):
            captioner = CaptionModel(captioner)
        self.captioner = captioner
        self.count = count
        self.prefix = prefix.strip()
        self.max_new_tokens = max_new_tokens

    def load(self, device: torch.device | str = "cpu") -> None:
        """Loads the models; a second call does nothing."""
        super().load(device)
        self.captioner.load(device)

    def caption(self, target: Target) -> str:
        """The captioner's best caption of a target's first picture.

        Raises:
            FuseError: If the target has none.
        """
        target.need_images("the captioner", "use another optimizer")
        (found,) = self.captioner.captions(target.images[:1], 1, self.prefix, self.max_new_tokens)
        return next(iter(found), "")

    def propose(self, states: list[list[State]]) -> list[list[State]]:
        """New captions of each target, and the states themselves.

        Raises:
            FuseError: If a target has no picture.
        """
        captions = [
            self._captions(index, target) if found else []
            for index, (target, found) in enumerate(zip(self.targets, states, strict=True))
        ]
        admitted = self.admission.first(
            [self._read(texts) for texts in captions],
            range(len(states)),
            max(map(len, captions)),
        )
        return [
            [*dict.fromkeys([*filter(None, found), *new])]
            for found, new in zip(states, admitted, strict=True)
        ]

    def _captions(self, index: int, target: Target) -> list[str]:
        """Captions of all pictures of a target."""
        target.need_images("the captioner", "use another optimizer")
        images = target.images
        seed = int(torch.randint(2**62, (), generator=self.searches[index].generator))
        options = {} if self.searches[index].step == 1 else {"num_beams": 0}
        found = self.captioner.captions(
            images,
            -(-self.count // len(images)),
            self.prefix,
            self.max_new_tokens,
            seed,
            **options,
        )
        return [text for texts in found for text in texts]

    def _read(self, texts: Sequence[str]) -> list[State]:
        """Captions as ids of the primary with allowed tokens only."""
        states = self.objective.encode_prompts(texts)
        spelled = self.objective.prompts(states, [0] * len(states)).texts
        allowed = set(self.allowed_ids.tolist())
        again = self.objective.encode_prompts(spelled)
        return [state for state in again if state and allowed.issuperset(state)]
