"""Prompt optimizers: LightningModules that propose discrete prompts."""

from fuse_lightning.optimizers.autodan import AutoDAN
from fuse_lightning.optimizers.base import PromptOptimizer
from fuse_lightning.optimizers.captioner import Captioner
from fuse_lightning.optimizers.constraints import Constraints
from fuse_lightning.optimizers.gcg import GCG
from fuse_lightning.optimizers.pez import PEZ
from fuse_lightning.optimizers.random_search import RandomSearch

__all__ = ["GCG", "PEZ", "AutoDAN", "Captioner", "Constraints", "PromptOptimizer", "RandomSearch"]
