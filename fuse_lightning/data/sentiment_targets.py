"""Wanted sentiments, with or without pictures."""

from dataclasses import replace

from fuse_lightning.data.image_targets import ImageTargets, unique
from fuse_lightning.data.module import TargetDataModule
from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError


class SentimentTargets(TargetDataModule):
    """Serves every picture with every wanted sentiment, or the sentiments alone.

    Args:
        sentiment: Wanted label of the classifier, or several. A manifest's own ``sentiment`` is
            used where this is not given.
        images: As for ``ImageTargets``; ``None`` for sentiments without pictures.
        batch_size: Targets searched together.
        limit: Only the first so many pictures.
    """

    def __init__(
        self,
        sentiment: str | list[str] | None = None,
        images: str | list[str] | None = None,
        batch_size: int = 1,
        limit: int | None = None,
    ) -> None:
        super().__init__(batch_size)
        wanted = [sentiment] if isinstance(sentiment, str) else list(sentiment or [])
        if not wanted and images is None:
            raise FuseError("data has neither sentiment nor images; give at least data.sentiment")
        if "" in wanted:
            raise FuseError("data.sentiment is empty; give a label of the classifier")
        self.wanted = wanted
        self.pictures = None if images is None else ImageTargets(images, batch_size, limit)

    def find_targets(self) -> list[Target]:
        """All targets.

        Raises:
            FuseError: If a picture has no wanted sentiment.
        """
        if self.pictures is None:
            return unique([Target(label, sentiment=label) for label in self.wanted])
        targets = self.pictures.find_targets()
        if not self.wanted:
            for target in targets:
                if target.sentiment is None:
                    raise FuseError(
                        f"target {target.id!r} wants no sentiment; give data.sentiment or a "
                        "sentiment in the manifest"
                    )
            return targets
        if len(self.wanted) == 1:
            return [replace(target, sentiment=self.wanted[0]) for target in targets]
        return unique(
            [
                replace(target, id=f"{target.id}-{label}", sentiment=label)
                for target in targets
                for label in self.wanted
            ]
        )
