"""Models and sizes of a ready-made search."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel

Preset = Literal["caption", "clip", "style", "sentiment"]
Models = Literal["zoo", "hub"]
ROLES = ("writer", "clip", "encoder", "classifier")
"""Options that name a model."""


@dataclass(frozen=True)
class Setting:
    """Models and sizes of a ready-made search.

    Attributes:
        writer: Causal language model, for :class:`Fluency`.
        clip: CLIP, for :class:`ImageSimilarity`; without an encoder also for texts.
        classifier: Sentiment classifier, for :class:`Sentiment`.
        similarity: Weight of a similarity; that of fluency is 1.
        sentiment: Weight of the classifier.
        beam_width: Width of the beam search.
        batch_size: Candidates of a state.
        steps: Steps of AutoDAN.
        swap_steps: Steps of GCG.
        encoder: Sentence encoder or CLIP that compares texts; ``None`` for the CLIP.
    """

    writer: Any
    clip: Any
    classifier: Any
    similarity: float
    sentiment: float
    beam_width: int
    batch_size: int
    steps: int
    swap_steps: int
    encoder: Any = None

    @property
    def of_zoo(self) -> bool:
        """Whether a model comes with the package, and so knows drawn scenes only."""
        return any(map(is_of_zoo, (self.writer, self.clip, self.encoder, self.classifier)))


SETTINGS: dict[Models, Setting] = {
    "zoo": Setting("zoo/gpt2", "zoo/clip", "zoo/sentiment", 6, 0.4, 16, 32, 28, 100),
    "hub": Setting(
        "openai-community/gpt2-medium",
        "openai/clip-vit-base-patch32",
        "cardiffnlp/twitter-roberta-base-sentiment-latest",
        22,
        1,
        4,
        512,
        16,
        300,
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
        raise FuseError(f"models is {models!r}; it must be one of {', '.join(get_args(Models))}")
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
