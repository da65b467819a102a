"""Frozen transformers models behind one small interface."""

from fuse_lightning.engine.token_batch import TokenBatch
from fuse_lightning.models.base import FrozenModel
from fuse_lightning.models.captioner import CaptionModel
from fuse_lightning.models.causal_lm import CausalLM
from fuse_lightning.models.classifier import Classifier
from fuse_lightning.models.clip import CLIP
from fuse_lightning.models.diffusion import Diffusion
from fuse_lightning.models.options import DType
from fuse_lightning.models.text_encoder import SentenceEncoder, TextEncoder
from fuse_lightning.models.vocabulary import TokenSet, Vocabulary

__all__ = [
    "CLIP",
    "CaptionModel",
    "CausalLM",
    "Classifier",
    "DType",
    "Diffusion",
    "FrozenModel",
    "SentenceEncoder",
    "TextEncoder",
    "TokenBatch",
    "TokenSet",
    "Vocabulary",
]
