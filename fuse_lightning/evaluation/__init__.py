"""Found prompts beside floors, under the search's own models and under others."""

from fuse_lightning.evaluation.callback import Evaluation
from fuse_lightning.evaluation.gauges import Gauge, transfer
from fuse_lightning.evaluation.predictions import Predictions
from fuse_lightning.evaluation.stored import StoredPrompts

__all__ = ["Evaluation", "Gauge", "Predictions", "StoredPrompts", "transfer"]
