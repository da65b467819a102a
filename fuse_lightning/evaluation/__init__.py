"""Measures of found prompts and of captions that cost no search."""

from fuse_lightning.evaluation.term_metrics import Gauge, transfer

__all__ = ["Gauge", "transfer"]
