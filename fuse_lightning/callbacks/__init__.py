"""Callbacks that show and write what a search finds."""

from fuse_lightning.callbacks.checkpoints import TimedCheckpoints
from fuse_lightning.callbacks.evaluation import Evaluation
from fuse_lightning.callbacks.joining import JoinedPrompt
from fuse_lightning.callbacks.predictions import Predictions
from fuse_lightning.callbacks.progress import PromptProgressBar
from fuse_lightning.callbacks.stored_prompts import StoredPrompts
from fuse_lightning.callbacks.table import PromptTable
from fuse_lightning.callbacks.tensorboard import TensorBoardPrompts
from fuse_lightning.callbacks.writer import PromptWriter

__all__ = [
    "Evaluation",
    "JoinedPrompt",
    "Predictions",
    "PromptProgressBar",
    "PromptTable",
    "PromptWriter",
    "StoredPrompts",
    "TensorBoardPrompts",
    "TimedCheckpoints",
]
