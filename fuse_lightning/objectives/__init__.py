"""Terms and their weighted sum."""

from fuse_lightning.objectives.continuation import Continuation
from fuse_lightning.objectives.denoising import Denoising
from fuse_lightning.objectives.fluency import Fluency
from fuse_lightning.objectives.gradients import (
    TermGradient,
    embedding_gradient,
    label_changes,
    term_gradients,
)
from fuse_lightning.objectives.kl_divergence import KLDivergence
from fuse_lightning.objectives.log_prob import LogProb
from fuse_lightning.objectives.objective import Objective
from fuse_lightning.objectives.prompts import Prompts, State
from fuse_lightning.objectives.reading import Reading
from fuse_lightning.objectives.sentiment import Sentiment
from fuse_lightning.objectives.similarity import ImageSimilarity, TextSimilarity
from fuse_lightning.objectives.smoothing import (
    Sample,
    predicted_change,
    resample,
    smoothed_gradient,
)
from fuse_lightning.objectives.speller import Speller
from fuse_lightning.objectives.term import Term

__all__ = [
    "Continuation",
    "Denoising",
    "Fluency",
    "ImageSimilarity",
    "KLDivergence",
    "LogProb",
    "Objective",
    "Prompts",
    "Reading",
    "Sample",
    "Sentiment",
    "Speller",
    "State",
    "Term",
    "TermGradient",
    "TextSimilarity",
    "embedding_gradient",
    "label_changes",
    "predicted_change",
    "resample",
    "smoothed_gradient",
    "term_gradients",
]
