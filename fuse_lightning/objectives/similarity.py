"""Cosine distance of a prompt to pictures or to a text."""

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property

import torch
from torch import Tensor

from fuse_lightning.data.image_targets import ImageTargets
from fuse_lightning.data.targets import Target, joined
from fuse_lightning.engine.devices import to_device
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CLIP, FrozenModel, TextEncoder
from fuse_lightning.models.auto import auto_model
from fuse_lightning.objectives.target_cache import PerTarget
from fuse_lightning.objectives.term import Reading, Term
from fuse_lightning.utilities.identity import Identity


class _Similarity(Term):
    """1 - cos, in [0, 2], between text features and each target's vector."""

    splits = True
    stand_in: Target | None = None
    """What every prompt is compared with in place of its target."""
    model: TextEncoder
    vectors: Tensor

    def identity(self) -> Identity:
        """Also the content that every prompt is compared with."""
        own = {} if self.stand_in is None else {"content": self.stand_in.digest}
        return super().identity() | own

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Finds each target's vector."""
        self.vectors = torch.stack(self._kept.of([self.stand_in or target for target in targets]))

    @cached_property
    def _kept(self) -> PerTarget[Tensor]:
        return PerTarget(self.encode)

    @abstractmethod
    def encode(self, targets: Sequence[Target]) -> Sequence[Tensor]:
        """Vectors of targets, shape (d,) each."""

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """1 - cos, shape (N,)."""
        features = self.model.text_features(reading.encoded, embeds, reading.fixed)
        owner = to_device(reading.owner, self.vectors.device)
        return 1 - (features * self.vectors[owner]).sum(-1)


class ImageSimilarity(_Similarity):
    """1 - cos between the prompt's and the target pictures' CLIP features, in [0, 2].

    Of several pictures the loss is the mean, computed against the mean of their unit vectors.

    Args:
        model: The CLIP, or its id.
        weight: Factor in the objective; negative repels.
        prefix: Text before the prompt.
        suffix: Text after the prompt.
        name: Name in logs and results.
        images: Pictures that every prompt is compared with, in place of its target's: a picture,
            a folder, a glob pattern or a list of them.
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
        images: str | list[str] | None = None,
    ) -> None:
        super().__init__(model, weight, prefix, suffix, name)
        if images is not None:
            self.stand_in = joined(self.name, ImageTargets(images).find_targets())

    def encode(self, targets: Sequence[Target]) -> Sequence[Tensor]:
        """Means of the unit vectors of each target's pictures.

        Raises:
            FuseError: If a target has none.
        """
        for target in targets:
            target.need_images(self.name, "remove the term")
        pictures = [target.images for target in targets]
        vectors = self.model.image_features([image for images in pictures for image in images])
        parts = torch.split(vectors, [len(images) for images in pictures])
        return [part.mean(0) for part in parts]


class TextSimilarity(_Similarity):
    """1 - cos between the features of the prompt and of the target's text, in [0, 2].

    With the target a long prompt this is distillation (arXiv 2302.03668).

    Args:
        model: A sentence encoder, a CLIP for its text tower, or the id of either.
        weight: Factor in the objective; negative repels.
        prefix: Text before the prompt.
        suffix: Text after the prompt.
        name: Name in logs and results.
        text: A text that every prompt is compared with, in place of its target's.
    """

    def __init__(
        self,
        model: str | TextEncoder,
        weight: float = 1.0,
        prefix: str = "",
        suffix: str = "",
        name: str | None = None,
        text: str | None = None,
    ) -> None:
        reader = model if isinstance(model, FrozenModel) else auto_model(model)
        if not isinstance(reader, TextEncoder):
            raise FuseError(
                f"{reader.model_id!r} is a {reader.kind}, which has no vector for a text; "
                "give a sentence encoder or a CLIP"
            )
        super().__init__(reader, weight, prefix, suffix, name)
        if text is not None:
            self.stand_in = Target(self.name, text=text)

    @torch.no_grad()
    def encode(self, targets: Sequence[Target]) -> Sequence[Tensor]:
        """Vectors of the texts; of one that is too long only of its beginning, with a warning.

        Raises:
            FuseError: If a target has none.
        """
        for target in targets:
            if not (target.text or "").strip():
                raise FuseError(
                    f"target {target.id!r} has no text, which {self.name} needs; "
                    f"give data.texts or the text of {self.name}"
                )
        encoded = self.model.encode([self._readable(target.text or "") for target in targets])
        return self.model.text_features(encoded).unbind()

    def _readable(self, text: str) -> str:
        """As much of a text as the model reads."""
        encoded = self.model.encode([text])
        content = (encoded.spans[0, :, 0] < encoded.spans[0, :, 1]).nonzero().flatten()
        room = self.model.max_tokens - (encoded.ids.shape[1] - len(content))
        if len(content) <= room:
            return text
        warnings.warn(
            f"the text {text[:40]!r}... has {len(content)} tokens, of which "
            f"{self.model.model_id!r} reads {room}; the prompt will not know of the rest",
            stacklevel=2,
        )
        for last in range(room, 0, -1):
            # A text cut between tokens can have more of them than before the cut.
            part = text[: int(encoded.spans[0, content[last - 1], 1])]
            if self.model.encode([part]).ids.shape[1] <= self.model.max_tokens:
                return part
        return ""
