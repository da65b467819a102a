"""Terms: cosine distance of a prompt to pictures or to a text."""

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Self

import torch
from torch import Tensor
from torchmetrics import Metric

from fuse_lightning.data.image_targets import ImageTargets
from fuse_lightning.data.in_memory import ImageSource
from fuse_lightning.data.targets import Target, joined
from fuse_lightning.engine.devices import to_device
from fuse_lightning.errors import FuseError
from fuse_lightning.metrics import MeanScore, Retrieval
from fuse_lightning.models import CLIP, FrozenModel, TextEncoder
from fuse_lightning.models.auto import auto_model
from fuse_lightning.models.options import ModelSource
from fuse_lightning.objectives.layout import Message
from fuse_lightning.objectives.reading import Reading, row_weights
from fuse_lightning.objectives.target_cache import PerTarget
from fuse_lightning.objectives.term import Term
from fuse_lightning.objectives.transfer import nothing_to_compare, placed_like
from fuse_lightning.utilities.identity import Identity


class _Similarity(Term):
    """Base of similarity terms: 1 - cos of a prompt's and its target's vector, in [0, 2]."""

    splits = True
    stand_in: Target | None = None
    """Content that every prompt is compared with in place of its target."""
    model: TextEncoder
    vectors: Tensor

    def identity(self) -> Identity:
        """Identity of the term, with the content that every prompt is compared with."""
        own = {} if self.stand_in is None else {"content": self.stand_in.digest}
        return super().identity() | own

    def reads_targets(self, targets: Sequence[Target]) -> bool:
        """Whether prompts are compared with the targets, and not with given content."""
        return self.stand_in is None

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Computes each target's vector."""
        self.vectors = torch.stack(self._kept.of([self.stand_in or target for target in targets]))

    @cached_property
    def _kept(self) -> PerTarget[Tensor]:
        return PerTarget(self.encode)

    @abstractmethod
    def encode(self, targets: Sequence[Target]) -> Sequence[Tensor]:
        """Vectors of targets, shape (d,) each."""

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """1 - cos, shape (N,)."""
        features = self.model.text_features(reading.rows, embeds, reading.fixed)
        owner = to_device(reading.owner, self.vectors.device)
        return 1 - (features * self.vectors[owner]).sum(-1)

    def metrics(self) -> dict[str, Metric]:
        """Mean cosine, in [-1, 1]."""
        return {"cosine": MeanScore("cosine")}

    def update_metrics(
        self, metrics: Mapping[str, Metric], reading: Reading, losses: Tensor
    ) -> None:
        """Adds rows."""
        metrics["cosine"].update(1 - losses, row_weights(reading))


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
            a folder, a glob pattern or a list of them; from Python also in memory.
        layout: Text or turns of a chat with ``{prompt}``, in place of prefix and suffix.
        score_weight: Factor in the number by which prompts are selected; by default ``weight``.
    """

    model: CLIP
    model_class = CLIP

    def __init__(
        self,
        model: ModelSource | CLIP,
        weight: float = 1.0,
        prefix: str = "",
        suffix: str = "",
        name: str | None = None,
        images: ImageSource | list[ImageSource] | None = None,
        layout: str | list[Message] | None = None,
        score_weight: float | None = None,
    ) -> None:
        super().__init__(model, weight, prefix, suffix, name, layout, score_weight)
        if images is not None:
            self.stand_in = joined(self.name, ImageTargets(images).find_targets())

    def encode(self, targets: Sequence[Target]) -> Sequence[Tensor]:
        """Mean unit vector of each target's pictures.

        Raises:
            FuseError: If a target has none.
        """
        for target in targets:
            target.need_images(self.name, "remove the term")
        pictures = [target.images for target in targets]
        vectors = self.model.image_features([image for images in pictures for image in images])
        parts = torch.split(vectors, [len(images) for images in pictures])
        return [part.mean(0) for part in parts]

    def metrics(self) -> dict[str, Metric]:
        """Mean cosine, and the share of rows nearest to their own pictures."""
        return {**super().metrics(), "top1": Retrieval()}

    def update_metrics(
        self, metrics: Mapping[str, Metric], reading: Reading, losses: Tensor
    ) -> None:
        """Adds rows; a row that is too long is nearest to no picture."""
        super().update_metrics(metrics, reading, losses)
        images = self.vectors[to_device(reading.owner, self.vectors.device)]
        texts = torch.full_like(images, torch.nan)
        rows = losses.isfinite().nonzero().flatten()
        if len(rows):
            texts[to_device(rows, texts.device)] = self.model.text_features(reading[rows].rows)
        metrics["top1"].update(texts, images)

    @classmethod
    def for_transfer(
        cls, model: FrozenModel, targets: Sequence[Target], search: Sequence[Term]
    ) -> Self | None:
        """Similarity to the pictures under another CLIP, where every target has some."""
        if isinstance(model, CLIP) and all(target.pictures for target in targets):
            return cls(model, **placed_like(model, search))
        return None


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
        layout: Text or turns of a chat with ``{prompt}``, in place of prefix and suffix.
        score_weight: Factor in the number by which prompts are selected; by default ``weight``.
    """

    def __init__(
        self,
        model: ModelSource | TextEncoder,
        weight: float = 1.0,
        prefix: str = "",
        suffix: str = "",
        name: str | None = None,
        text: str | None = None,
        layout: str | list[Message] | None = None,
        score_weight: float | None = None,
    ) -> None:
        reader = model if isinstance(model, FrozenModel) else auto_model(model)
        if not isinstance(reader, TextEncoder):
            raise FuseError(
                f"{reader.model_id!r} is a {reader.kind}, which has no vector for a text; "
                "give a sentence encoder or a CLIP"
            )
        super().__init__(reader, weight, prefix, suffix, name, layout, score_weight)
        if text is not None:
            self.stand_in = Target(self.name, text=text)

    @torch.no_grad()
    def encode(self, targets: Sequence[Target]) -> Sequence[Tensor]:
        """Vectors of the texts; a text that is too long is cut, with a warning.

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
        """The beginning of a text that fits into the model."""
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

    @classmethod
    def for_transfer(
        cls, model: FrozenModel, targets: Sequence[Target], search: Sequence[Term]
    ) -> Self | None:
        """Similarity to the targets' texts under another text encoder.

        Raises:
            FuseError: If a target has no text.
        """
        if not isinstance(model, TextEncoder):
            return None
        if not all(target.text for target in targets):
            needed = "a picture or a text" if isinstance(model, CLIP) else "a text"
            raise nothing_to_compare(model, needed)
        return cls(model, **placed_like(model, search))
