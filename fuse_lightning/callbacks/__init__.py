"""Callbacks that show, measure and store the prompts of a search."""

from fuse_lightning.callbacks.checkpoints import SearchCheckpoints as SearchCheckpoints
from fuse_lightning.callbacks.evaluation import Evaluation as Evaluation
from fuse_lightning.callbacks.final_verdict import FinalVerdict as FinalVerdict
from fuse_lightning.callbacks.generated import GeneratedPictures as GeneratedPictures
from fuse_lightning.callbacks.headroom import Headroom as Headroom
from fuse_lightning.callbacks.joining import JoinedPrompt as JoinedPrompt
from fuse_lightning.callbacks.portable import PortablePrompts as PortablePrompts
from fuse_lightning.callbacks.predictions import Predictions as Predictions
from fuse_lightning.callbacks.progress import PromptProgressBar as PromptProgressBar
from fuse_lightning.callbacks.stored_prompts import StoredPrompts as StoredPrompts
from fuse_lightning.callbacks.table import PromptTable as PromptTable
from fuse_lightning.callbacks.tensorboard import TensorBoardPrompts as TensorBoardPrompts
from fuse_lightning.callbacks.transfer import TransferModels as TransferModels
from fuse_lightning.callbacks.writer import PromptWriter as PromptWriter
