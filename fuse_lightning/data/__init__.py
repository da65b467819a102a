"""Targets and the data modules that serve them."""

from fuse_lightning.data.image_targets import ImageTargets
from fuse_lightning.data.module import TargetDataModule
from fuse_lightning.data.queue import TargetBatch, TargetQueue
from fuse_lightning.data.sentiment_targets import SentimentTargets
from fuse_lightning.data.targets import Target
from fuse_lightning.data.text_targets import TextTargets

__all__ = [
    "ImageTargets",
    "SentimentTargets",
    "Target",
    "TargetBatch",
    "TargetDataModule",
    "TargetQueue",
    "TextTargets",
]
