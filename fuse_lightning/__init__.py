"""Finds discrete text prompts for frozen models, with PyTorch Lightning."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fuse_lightning.adapters import AdapterSettings
    from fuse_lightning.data import ImageTargets, SentimentTargets, Target
    from fuse_lightning.errors import FuseError
    from fuse_lightning.models import CLIP, CausalLM, Classifier, SentenceEncoder
    from fuse_lightning.objectives import Fluency, ImageSimilarity, Sentiment, TextSimilarity
    from fuse_lightning.optimizers import AutoDAN
    from fuse_lightning.search import BeamSearch, GreedySearch, UniformCostSearch

# Imported when first asked for: torch and transformers take seconds.
_PLACES = {
    "adapters": ("AdapterSettings",),
    "data": ("ImageTargets", "SentimentTargets", "Target"),
    "errors": ("FuseError",),
    "models": ("CLIP", "CausalLM", "Classifier", "SentenceEncoder"),
    "objectives": ("Fluency", "ImageSimilarity", "Sentiment", "TextSimilarity"),
    "optimizers": ("AutoDAN",),
    "search": ("BeamSearch", "GreedySearch", "UniformCostSearch"),
}

__all__ = [
    "CLIP",
    "AdapterSettings",
    "AutoDAN",
    "BeamSearch",
    "CausalLM",
    "Classifier",
    "Fluency",
    "FuseError",
    "GreedySearch",
    "ImageSimilarity",
    "ImageTargets",
    "SentenceEncoder",
    "Sentiment",
    "SentimentTargets",
    "Target",
    "TextSimilarity",
    "UniformCostSearch",
]


def __getattr__(name: str) -> Any:
    for module, names in _PLACES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
