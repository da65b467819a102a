"""Finds discrete text prompts for frozen models, with PyTorch Lightning."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fuse_lightning.utilities.plugins import register

__version__ = "0.1.0"

# The shapes of a search hardly come again, and oneDNN would keep a compiled kernel for each:
# several hundred MB in a long run. It is read when torch first computes.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")

# Only scenes of the zoo can be measured by it, and evaluations know nothing of the zoo.
register("measure", "fuse_lightning.zoo.measures.ObjectsRight")

if TYPE_CHECKING:
    from fuse_lightning.adapters import AdapterSettings
    from fuse_lightning.callbacks import Evaluation
    from fuse_lightning.data import ImageTargets, SentimentTargets, Target, TextTargets
    from fuse_lightning.errors import FuseError
    from fuse_lightning.models import (
        CLIP,
        CaptionModel,
        CausalLM,
        Classifier,
        Diffusion,
        SentenceEncoder,
    )
    from fuse_lightning.objectives import (
        Continuation,
        Denoising,
        Fluency,
        ImageSimilarity,
        KLDivergence,
        LogProb,
        Sentiment,
        TextSimilarity,
    )
    from fuse_lightning.optimizers import (
        GCG,
        PEZ,
        AutoDAN,
        Captioner,
        Constraints,
        RandomSearch,
    )
    from fuse_lightning.search import (
        BeamSearch,
        GreedySearch,
        HistorySearch,
        UniformCostSearch,
    )

# Imported when first asked for: torch and transformers take seconds.
_PLACES = {
    "adapters": ("AdapterSettings",),
    "callbacks": ("Evaluation",),
    "data": ("ImageTargets", "SentimentTargets", "Target", "TextTargets"),
    "errors": ("FuseError",),
    "models": ("CLIP", "CaptionModel", "CausalLM", "Classifier", "Diffusion", "SentenceEncoder"),
    "objectives": (
        "Continuation",
        "Denoising",
        "Fluency",
        "ImageSimilarity",
        "KLDivergence",
        "LogProb",
        "Sentiment",
        "TextSimilarity",
    ),
    "optimizers": ("GCG", "PEZ", "AutoDAN", "Captioner", "Constraints", "RandomSearch"),
    "search": ("BeamSearch", "GreedySearch", "HistorySearch", "UniformCostSearch"),
}

__all__ = [
    "CLIP",
    "GCG",
    "PEZ",
    "AdapterSettings",
    "AutoDAN",
    "BeamSearch",
    "CaptionModel",
    "Captioner",
    "CausalLM",
    "Classifier",
    "Constraints",
    "Continuation",
    "Denoising",
    "Diffusion",
    "Evaluation",
    "Fluency",
    "FuseError",
    "GreedySearch",
    "HistorySearch",
    "ImageSimilarity",
    "ImageTargets",
    "KLDivergence",
    "LogProb",
    "RandomSearch",
    "SentenceEncoder",
    "Sentiment",
    "SentimentTargets",
    "Target",
    "TextSimilarity",
    "TextTargets",
    "UniformCostSearch",
]


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
