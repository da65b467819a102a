"""Descriptions of an objective's terms for resuming and tables of runs; work of its models."""

from collections.abc import Sequence
from typing import Any

from fuse_lightning.engine.meter import Work, total_work
from fuse_lightning.models import FrozenModel
from fuse_lightning.objectives import Term
from fuse_lightning.utilities.identity import CONTENT, Identity


def terms_identity(terms: Sequence[Term], *, content: bool) -> Identity:
    """Identity of terms, which must be equal for a search to resume.

    Args:
        terms: The terms.
        content: Whether models are loaded, so that their weights can be compared.
    """
    parts = {"terms": ", ".join(term.name for term in terms)}
    for term in terms:
        parts |= {f"{part} of {term.name}": text for part, text in term.identity().items()}
        if content:
            digests = [model.fingerprint for model in term.models]
            parts[f"{CONTENT} {term.name}"] = " ".join(digests)
    return parts


def terms_settings(terms: Sequence[Term]) -> dict[str, Any]:
    """Models and weight of each term."""
    found: dict[str, Any] = {}
    for term in terms:
        names = [model.model_id for model in term.models]
        found[f"{term.name}/model"] = ", ".join(names)
        found[f"{term.name}/weight"] = term.weight
    return found


def models_work(models: Sequence[FrozenModel | None]) -> Work:
    """Work of models so far, each network once."""
    # A model of a user's own may load itself, without meters.
    return total_work(meter for model in models for meter in getattr(model, "meters", ()))
