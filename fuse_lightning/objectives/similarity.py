"""Cosine distance of a prompt to pictures or to a text."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CLIP, TextEncoder
from fuse_lightning.objectives.term import Reading, Term


class _Similarity(Term):
    """1 - cos, in [0, 2], between text features and each target's vector."""

    model: TextEncoder
    vectors: Tensor

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """1 - cos, shape (N,)."""
        features = self.model.text_features(reading.encoded, embeds)
        return 1 - (features * self.vectors[reading.owner]).sum(-1)


class ImageSimilarity(_Similarity):
    """1 - cos between the prompt's and the target pictures' CLIP features, in [0, 2].

    Of several pictures the loss is the mean, computed against the mean of their unit vectors.
    """

    model: CLIP
    model_class = CLIP

    def __init__(
        self,
        model: str | CLIP,
        weight: float = 1.0,
        prefix: str = "",
        suffix: str = "",
        name: str | None = None,
    ) -> None:
        super().__init__(model, weight, prefix, suffix, name)

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Encodes the pictures.

        Raises:
            FuseError: If a target has none.
        """
        for target in targets:
            if not target.paths:
                raise FuseError(
                    f"target {target.id!r} has no image, which {self.name} needs; "
                    "give data.images or remove the term"
                )
        self.vectors = torch.stack(
            [self.model.image_features(target.images).mean(0) for target in targets]
        )


class TextSimilarity(_Similarity):
    """1 - cos between the features of the prompt and of the target's text, in [0, 2].

    The model is a sentence encoder, or a CLIP for its text tower.
    """

    def __init__(
        self,
        model: TextEncoder,
        weight: float = 1.0,
        prefix: str = "",
        suffix: str = "",
        name: str | None = None,
    ) -> None:
        super().__init__(model, weight, prefix, suffix, name)

    @torch.no_grad()
    def set_targets(self, targets: Sequence[Target]) -> None:
        """Encodes the texts.

        Raises:
            FuseError: If a target has none.
        """
        for target in targets:
            if not (target.text or "").strip():
                raise FuseError(f"target {target.id!r} has no text, which {self.name} needs")
        encoded = self.model.encode([target.text or "" for target in targets])
        self.vectors = self.model.text_features(encoded.to(self.model.device))
