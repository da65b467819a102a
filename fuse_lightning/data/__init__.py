"""Targets, their sources, and the data modules that serve them."""

from fuse_lightning.data.image_targets import ImageTargets as ImageTargets
from fuse_lightning.data.labelled import LabelledExamples as LabelledExamples
from fuse_lightning.data.module import TargetDataModule as TargetDataModule
from fuse_lightning.data.queue import TargetBatch as TargetBatch
from fuse_lightning.data.queue import TargetQueue as TargetQueue
from fuse_lightning.data.reasoning import ReasoningExamples as ReasoningExamples
from fuse_lightning.data.sentiment_targets import SentimentTargets as SentimentTargets
from fuse_lightning.data.targets import Target as Target
from fuse_lightning.data.text_targets import TextTargets as TextTargets
