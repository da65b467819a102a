"""Terms and their weighted sum."""

from fuse_lightning.objectives.fluency import Fluency
from fuse_lightning.objectives.objective import Objective, Prompts, State
from fuse_lightning.objectives.sentiment import Sentiment
from fuse_lightning.objectives.similarity import ImageSimilarity, TextSimilarity
from fuse_lightning.objectives.smoothing import (
    Sample,
    predicted_change,
    resample,
    smoothed_gradient,
)
from fuse_lightning.objectives.term import Reading, Term

__all__ = [
    "Fluency",
    "ImageSimilarity",
    "Objective",
    "Prompts",
    "Reading",
    "Sample",
    "Sentiment",
    "State",
    "Term",
    "TextSimilarity",
    "predicted_change",
    "resample",
    "smoothed_gradient",
]
