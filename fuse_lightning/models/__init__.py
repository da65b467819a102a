"""Frozen transformers models behind one small interface."""

from fuse_lightning.engine.token_batch import TokenBatch as TokenBatch
from fuse_lightning.models.base import FrozenModel as FrozenModel
from fuse_lightning.models.captioner import CaptionModel as CaptionModel
from fuse_lightning.models.causal_lm import CausalLM as CausalLM
from fuse_lightning.models.classifier import Classifier as Classifier
from fuse_lightning.models.clip import CLIP as CLIP
from fuse_lightning.models.diffusion import Diffusion as Diffusion
from fuse_lightning.models.options import DType as DType
from fuse_lightning.models.seq2seq_lm import Seq2SeqLM as Seq2SeqLM
from fuse_lightning.models.text_encoder import SentenceEncoder as SentenceEncoder
from fuse_lightning.models.text_encoder import TextEncoder as TextEncoder
from fuse_lightning.models.vocabulary import TokenSet as TokenSet
from fuse_lightning.models.vocabulary import Vocabulary as Vocabulary
