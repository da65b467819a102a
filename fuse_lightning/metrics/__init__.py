"""Torchmetrics of prompts, each with its direction and unit."""

from fuse_lightning.metrics.means import (
    About,
    Count,
    Mean,
    MeanCost,
    MeanLoss,
    MeanScore,
    describe,
)
from fuse_lightning.metrics.text import Distinct, Perplexity, Retrieval, RougeL, words

__all__ = [
    "About",
    "Count",
    "Distinct",
    "Mean",
    "MeanCost",
    "MeanLoss",
    "MeanScore",
    "Perplexity",
    "Retrieval",
    "RougeL",
    "describe",
    "words",
]
