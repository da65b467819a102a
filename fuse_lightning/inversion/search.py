"""Search of a ready-made setting: its terms, its optimizer and its frontier."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from fuse_lightning.errors import FuseError
from fuse_lightning.inversion.settings import Preset, Setting
from fuse_lightning.objectives import (
    Fluency,
    ImageSimilarity,
    Sentiment,
    State,
    Term,
    TextSimilarity,
)
from fuse_lightning.optimizers import GCG, AutoDAN, PromptOptimizer
from fuse_lightning.search import BeamSearch, Frontier, HistorySearch
from fuse_lightning.utilities.nearest import did_you_mean
from fuse_lightning.utilities.option_names import option

OPENING = "An image of"


@dataclass(frozen=True)
class Wish:
    """What a search is for.

    Attributes:
        preset: The preset.
        pictures: Whether there are pictures.
        texts: Whether there are texts, each of which is a target.
        beside: Text that every picture's prompt is compared with, too.
        sentiment: Wanted label of the classifier.
        weights: Weight of some terms, by name.
        top: Prompts of each target.
        steps: Steps of the search; ``None`` for the setting's.
        seed: Seed.
    """

    preset: Preset = "caption"
    pictures: bool = False
    texts: bool = False
    beside: str | None = None
    sentiment: str = "positive"
    weights: Mapping[str, float] = field(default_factory=dict)
    top: int = 5
    steps: int | None = None
    seed: int = 0

    @property
    def fluent(self) -> bool:
        """Whether a language model writes the prompts."""
        return self.preset in ("caption", "sentiment")


def check_used(wish: Wish, named: Mapping[str, Any]) -> None:
    """Checks that every model that the user names is of use.

    Raises:
        FuseError: If one has nothing to do.
    """
    for role, reason in _unused(wish, named.get("encoder")).items():
        if named.get(role) is not None and reason is not None:
            raise FuseError(f"{option(role)} is of no use here: {reason}; leave it out")


def used_models(wish: Wish, setting: Setting) -> dict[str, Any]:
    """The models that a search reads, by role; without an encoder the CLIP reads texts."""
    unused = _unused(wish, setting.encoder)
    models = {role: getattr(setting, role) for role, reason in unused.items() if reason is None}
    return {role: model for role, model in models.items() if model is not None}


def _unused(wish: Wish, encoder: Any) -> dict[str, str | None]:
    """Why a model has nothing to do, by role; ``None`` for one that has."""
    preset = f"{option('preset')} {wish.preset}"
    compares = wish.texts or wish.beside is not None
    return {
        "writer": None if wish.fluent else f"{preset} has no language model",
        "clip": None
        if wish.pictures or encoder is None
        else "there are no pictures, and the encoder compares the texts",
        "encoder": None if compares else "it compares texts, and there is none",
        "classifier": None if wish.preset == "sentiment" else f"{preset} asks no classifier",
    }


def search(wish: Wish, setting: Setting) -> tuple[PromptOptimizer, Frontier[State]]:
    """Optimizer and frontier.

    Raises:
        FuseError: If an option is out of its range, or a weight is of no term.
    """
    for name, value in (("top", wish.top), ("steps", wish.steps)):
        if value is not None and value < 1:
            raise FuseError(f"{option(name)} is {value}; it must be at least 1")
    terms = _weighted(_terms(wish, setting), wish.weights)
    if wish.fluent:
        growth = setting.mood if wish.preset == "sentiment" else setting.caption
        return AutoDAN(
            terms,
            steps=setting.steps if wish.steps is None else wish.steps,
            batch_size=growth.batch_size,
            gradient_weight=growth.gradient_weight,
            gradient_samples=8,
            patience=growth.patience,
            # A mood often stands where a caption could end: ", how lovely".
            end_probability=0.95 if wish.preset == "sentiment" else 0.5,
            top=wish.top,
            seed=wish.seed,
        ), BeamSearch(growth.beam_width, growth.siblings)
    return GCG(
        terms,
        steps=setting.swap_steps if wish.steps is None else wish.steps,
        batch_size=setting.swaps,
        top_k=64,
        top=wish.top,
        seed=wish.seed,
    ), HistorySearch()


def _terms(wish: Wish, setting: Setting) -> list[Term]:
    opening = OPENING if wish.fluent and wish.pictures else ""
    weight = setting.similarity if wish.fluent else 1.0
    terms: list[Term] = []
    if wish.fluent:
        terms.append(Fluency(setting.writer, prefix=opening))
    if wish.pictures:
        terms.append(ImageSimilarity(setting.clip, weight, opening))
    if wish.texts or wish.beside is not None:
        encoder = setting.clip if setting.encoder is None else setting.encoder
        terms.append(TextSimilarity(encoder, weight, opening, text=wish.beside))
    if wish.preset == "sentiment":
        mood = setting.sentiment
        terms.append(Sentiment(setting.classifier, mood, opening, label=wish.sentiment))
    return terms


def _weighted(terms: list[Term], weights: Mapping[str, float]) -> list[Term]:
    known = {term.name: term for term in terms}
    for name, weight in weights.items():
        if name not in known:
            raise FuseError(
                f"{option('weight')} {name!r} is of no term here; "
                f"{did_you_mean(name, known)}there are: {', '.join(known)}"
            )
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not isfinite(weight):
            raise FuseError(f"weight of {name} is {weight!r}; give a finite number")
        known[name].weight = weight
    return terms
