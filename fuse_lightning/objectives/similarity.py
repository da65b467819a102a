"""Cosine distance of a prompt to pictures or to a text."""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from fuse_lightning.data.image_targets import ImageTargets
from fuse_lightning.data.targets import Target, joined
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CLIP, TextEncoder
from fuse_lightning.models.auto import auto_model
from fuse_lightning.objectives.term import Reading, Term


class _Similarity(Term):
    """1 - cos, in [0, 2], between text features and each target's vector."""

    splits = True
    model: TextEncoder
    vectors: Tensor

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """1 - cos, shape (N,)."""
        features = self.model.text_features(reading.encoded, embeds, reading.fixed)
        return 1 - (features * self.vectors[reading.owner]).sum(-1)


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
        self.fixed = None if images is None else self._fixed(images)

    def _fixed(self, images: str | list[str]) -> Target:
        return joined(self.name, ImageTargets(images).find_targets())

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Encodes the pictures.

        Raises:
            FuseError: If a target has none.
        """
        targets = [self.fixed or target for target in targets]
        vectors: dict[int, Tensor] = {}
        for target in targets:
            target.need_images(self.name, "remove the term")
            if id(target) not in vectors:
                vectors[id(target)] = self.model.image_features(target.images).mean(0)
        self.vectors = torch.stack([vectors[id(target)] for target in targets])


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
        reader = auto_model(model) if isinstance(model, str) else model
        if not isinstance(reader, TextEncoder):
            raise FuseError(
                f"{reader.model_id!r} is a {reader.kind}, which has no vector for a text; "
                "give a sentence encoder or a CLIP"
            )
        super().__init__(reader, weight, prefix, suffix, name)
        self.text = text

    @torch.no_grad()
    def set_targets(self, targets: Sequence[Target]) -> None:
        """Encodes the texts; of one that is too long only the beginning, with a warning.

        Raises:
            FuseError: If a target has none.
        """
        texts = [target.text if self.text is None else self.text for target in targets]
        for target, text in zip(targets, texts, strict=True):
            if not (text or "").strip():
                raise FuseError(
                    f"target {target.id!r} has no text, which {self.name} needs; "
                    f"give data.texts or the text of {self.name}"
                )
        read = {text: self._readable(text) for text in texts if text}
        encoded = self.model.encode([read[text] for text in texts if text])
        self.vectors = self.model.text_features(encoded)

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
