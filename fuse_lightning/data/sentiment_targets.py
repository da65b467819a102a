"""Data module of wanted sentiments, for pictures or alone."""

from dataclasses import replace
from typing import Any

from fuse_lightning.data.image_targets import ImageTargets
from fuse_lightning.data.in_memory import ImageSource
from fuse_lightning.data.targets import Target, distinct
from fuse_lightning.errors import FuseError


class SentimentTargets(ImageTargets):
    """Data module of every picture with every wanted sentiment, or of sentiments alone.

    Args:
        sentiment: Wanted label of the classifier, or several. A manifest's own ``sentiment`` is
            used where this is not given.
        images: Sources, see ``ImageTargets``; ``None`` for sentiments without pictures.
        batch_size: Targets searched together.
        limit: Only the first so many pictures.
        **options: Options of :class:`ImageTargets`.
    """

    def __init__(
        self,
        sentiment: str | list[str] | None = None,
        images: ImageSource | list[ImageSource] | None = None,
        batch_size: int = 1,
        limit: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__([] if images is None else images, batch_size, limit, **options)
        wanted = [sentiment] if isinstance(sentiment, str) else list(sentiment or [])
        if not wanted and images is None:
            raise FuseError("data has neither sentiment nor images; give at least data.sentiment")
        if "" in wanted:
            raise FuseError("data.sentiment is empty; give a label of the classifier")
        self.wanted = distinct(Target(label, sentiment=label, source=label) for label in wanted)
        self.alone = images is None

    def all_targets(self) -> list[Target]:
        """All pictures as targets; without pictures, one target for each sentiment."""
        return self.wanted if self.alone else super().all_targets()

    def variants(self, target: Target) -> list[Target]:
        """One target for each wanted sentiment, with the sentiment in its id."""
        if self.alone or not self.wanted:
            return [target]
        return [
            replace(target, id=f"{target.id} ({wanted.sentiment})", sentiment=wanted.sentiment)
            for wanted in self.wanted
        ]

    def check(self, target: Target) -> None:
        """Checks the pictures, and that the target has a wanted sentiment."""
        if not self.wanted and target.sentiment is None:
            raise FuseError(
                f"target {target.id!r} wants no sentiment; give data.sentiment or a sentiment in "
                "the table"
            )
        super().check(target)
