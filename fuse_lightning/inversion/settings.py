"""Models and sizes of a ready-made search."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel
from fuse_lightning.utilities.option_names import option

Preset = Literal["caption", "clip", "style", "sentiment"]
Models = Literal["zoo", "hub"]
ROLES = ("writer", "clip", "encoder", "classifier")
"""Options that name a model."""


@dataclass(frozen=True)
class Growth:
    """Sizes of a search that grows captions.

    Attributes:
        beam_width: Width of the beam search.
        batch_size: Candidates of a state.
        siblings: Most prompts of the beam that extend the same one; ``None`` for no limit.
        gradient_weight: Factor of the predicted change in the ranking of tokens; 0 for proposals
            of the language model alone.
        patience: Steps without a better prompt after which a target ends.
    """

    beam_width: int
    batch_size: int
    siblings: int | None = None
    gradient_weight: float = 0.25
    patience: int = 18


@dataclass(frozen=True)
class Setting:
    """Models and sizes of a ready-made search.

    Attributes:
        writer: Causal language model, for :class:`Fluency`.
        clip: CLIP, for :class:`ImageSimilarity`; without an encoder also for texts.
        classifier: Sentiment classifier, for :class:`Sentiment`.
        similarity: Weight of a similarity; that of fluency is 1.
        sentiment: Weight of the classifier.
        caption: Growth of captions.
        mood: Growth of captions with a mood.
        steps: Steps of AutoDAN.
        swap_steps: Steps of GCG.
        swaps: Candidates of a step of GCG.
        encoder: Sentence encoder or CLIP that compares texts; ``None`` for the CLIP.
    """

    writer: Any
    clip: Any
    classifier: Any
    similarity: float
    sentiment: float
    caption: Growth
    mood: Growth
    steps: int
    swap_steps: int
    swaps: int
    encoder: Any = None


SETTINGS: dict[Models, Setting] = {
    "zoo": Setting(
        "zoo/gpt2",
        "zoo/clip",
        "zoo/sentiment",
        6,
        0.4,
        Growth(48, 20, siblings=2, gradient_weight=0, patience=5),
        Growth(16, 32),
        28,
        100,
        128,
    ),
    "hub": Setting(
        "openai-community/gpt2-medium",
        "openai/clip-vit-base-patch32",
        "cardiffnlp/twitter-roberta-base-sentiment-latest",
        22,
        1,
        Growth(4, 512),
        Growth(4, 512),
        16,
        300,
        2048,
    ),
}
"""Settings by name; those of "hub" are the published ones of FUSE (arXiv 2408.04816)."""


def setting_of(models: Models | None, named: Mapping[str, Any]) -> Setting:
    """Setting for some models that the user names, with defaults for the others.

    As soon as one is named that does not come with the package, the defaults are those of the hub.

    Args:
        models: Where defaults come from; by default "hub" if a named model is none of the zoo.
        named: A model or ``None`` for each of :data:`ROLES`.

    Raises:
        FuseError: If ``models`` has another value.

    >>> setting_of(None, {}).clip, setting_of(None, {"clip": "models/mine"}).writer
    ('zoo/clip', 'openai-community/gpt2-medium')
    """
    if models not in (None, *get_args(Models)):
        raise FuseError(
            f"{option('models')} is {models!r}; it must be one of {', '.join(get_args(Models))}"
        )
    given = {role: model for role, model in named.items() if model is not None}
    own = any(not is_of_zoo(model) for model in given.values())
    return replace(SETTINGS[models or ("hub" if own else "zoo")], **given)


def is_of_zoo(model: Any) -> bool:
    """Whether a model, or its id, is one of the package's.

    >>> is_of_zoo("zoo/clip"), is_of_zoo("openai/clip-vit-base-patch32")
    (True, False)
    """
    name = model.model_id if isinstance(model, FrozenModel) else model
    return isinstance(name, str | Path) and str(name).startswith("zoo/")
