"""Prompt optimizers: LightningModules that propose discrete prompts."""

from fuse_lightning.optimizers.autodan import AutoDAN as AutoDAN
from fuse_lightning.optimizers.autoprompt import AutoPrompt as AutoPrompt
from fuse_lightning.optimizers.autoprompt_sgd import AutoPromptSGD as AutoPromptSGD
from fuse_lightning.optimizers.base import PromptOptimizer as PromptOptimizer
from fuse_lightning.optimizers.captioner import Captioner as Captioner
from fuse_lightning.optimizers.constraints import Constraints as Constraints
from fuse_lightning.optimizers.demonstrations import Demonstrations as Demonstrations
from fuse_lightning.optimizers.descent import DescentOptimizer as DescentOptimizer
from fuse_lightning.optimizers.fluent_prompt import FluentPrompt as FluentPrompt
from fuse_lightning.optimizers.gcg import GCG as GCG
from fuse_lightning.optimizers.greater import GReaTer as GReaTer
from fuse_lightning.optimizers.pez import PEZ as PEZ
from fuse_lightning.optimizers.random_search import RandomSearch as RandomSearch
from fuse_lightning.optimizers.simplex import SimplexDescent as SimplexDescent
from fuse_lightning.optimizers.swaps import SwapOptimizer as SwapOptimizer
