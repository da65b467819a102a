"""Helpers of terms that measure prompts with a model from outside the search."""

from collections.abc import Sequence
from typing import Any

from fuse_lightning.errors import FuseError
from fuse_lightning.models import FrozenModel
from fuse_lightning.objectives.term import Term


def placed_like(model: FrozenModel, search: Sequence[Term]) -> dict[str, Any]:
    """Options of a transfer term: its name, and the layout of its texts.

    They stand as in the search's first term over such a model; where that one's layout has other
    fields, they stand alone.

    Args:
        model: The model, whose id becomes the term's name.
        search: The terms of the search.
    """
    options: dict[str, Any] = {"name": model.model_id}
    for term in search:
        if isinstance(term.model, type(model)):
            options |= {"prefix": term.prefix, "suffix": term.suffix}
            return options if term.fills else {**options, "layout": term.layout}
    return options


def nothing_to_compare(model: FrozenModel, needed: str) -> FuseError:
    """Error about a transfer model for which targets lack something, such as "a text"."""
    return FuseError(
        f"{model.model_id!r} is a {model.kind}, but not every target has {needed} to compare with; "
        "leave the model out"
    )
