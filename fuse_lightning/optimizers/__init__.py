"""Prompt optimizers: LightningModules that propose discrete prompts."""

from fuse_lightning.optimizers.autodan import AutoDAN
from fuse_lightning.optimizers.base import PromptOptimizer

__all__ = ["AutoDAN", "PromptOptimizer"]
