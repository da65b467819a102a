"""Measures of prompts and of the gradients that find them."""

from fuse_lightning.metrics.text import Distinct, Perplexity, Retrieval, RougeL, words

__all__ = ["Distinct", "Perplexity", "Retrieval", "RougeL", "words"]
