"""Pictures generated from prompts, and figures of them."""

from fuse_lightning.evaluation.generation.generator import Generator as Generator
from fuse_lightning.evaluation.generation.generator import PipelineGenerator as PipelineGenerator
from fuse_lightning.evaluation.generation.generator import generator_of as generator_of
