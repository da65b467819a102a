"""Measures of prompts and of the gradients that find them."""

from fuse_lightning.metrics.text import Distinct as Distinct
from fuse_lightning.metrics.text import Perplexity as Perplexity
from fuse_lightning.metrics.text import Retrieval as Retrieval
from fuse_lightning.metrics.text import RougeL as RougeL
from fuse_lightning.metrics.text import words as words
