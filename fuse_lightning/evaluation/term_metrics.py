"""What a model says of captions, whether it took part in the search or not."""

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanMetric, Metric

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.metrics import Perplexity, Retrieval
from fuse_lightning.models import CLIP, CausalLM, Classifier, FrozenModel, TextEncoder
from fuse_lightning.models.auto import auto_model
from fuse_lightning.models.loading import resolve
from fuse_lightning.objectives import (
    Fluency,
    ImageSimilarity,
    Objective,
    Prompts,
    Sentiment,
    Term,
    TextSimilarity,
)


class Gauge:
    """One term as a measuring device.

    Args:
        objective: The objective that the term is of.
        term: The term; its name begins the names of the measures.
        own: Whether it is a term of the search, whose loss is a measure too.
    """

    def __init__(self, objective: Objective, term: Term, own: bool = False) -> None:
        self.objective = objective
        self.term = term
        self.own = own

    def metrics(self) -> dict[str, Metric]:
        """New metrics, by the name of what they measure."""
        name, found = self.term.name, dict[str, Metric]()
        if self.own:
            found[name] = MeanMetric()
        match self.term:
            case Fluency():
                if not self.own:
                    found[f"{name}_nll"] = MeanMetric()
                found[f"{name}_perplexity"] = Perplexity()
            case ImageSimilarity() | TextSimilarity():
                found[f"{name}_cosine"] = MeanMetric()
                if isinstance(self.term, ImageSimilarity):
                    found[f"{name}_top1"] = Retrieval()
            case Sentiment():
                found[f"{name}_accuracy"] = MeanMetric()
        return found

    def update(self, metrics: dict[str, Metric], prompts: Prompts) -> Tensor:
        """Measures captions of the targets that the objective was given last.

        Args:
            metrics: What :meth:`metrics` gave, or more.
            prompts: N captions.

        Returns:
            Unweighted losses, shape (N,); infinite for a caption that is too long to be read.
        """
        losses = self.objective.scores.term_losses(self.term, prompts).cpu()
        name, term = self.term.name, self.term
        if self.own:
            metrics[name].update(losses.tolist())
        if not len(losses):
            return losses
        rows = losses.isfinite().nonzero().flatten()
        reading = term.read(prompts)
        match term:
            case Fluency():
                if not self.own:
                    metrics[f"{name}_nll"].update(losses.tolist())
                metrics[f"{name}_perplexity"].update(losses, reading.prompt.sum(1))
            case ImageSimilarity() | TextSimilarity():
                metrics[f"{name}_cosine"].update((1 - losses).tolist())
                if isinstance(term, ImageSimilarity):
                    images = term.vectors[reading.owner]
                    texts = torch.full_like(images, torch.nan)
                    if len(rows):
                        texts[rows] = term.model.text_features(reading[rows].rows)
                    metrics[f"{name}_top1"].update(texts, images)
            case Sentiment():
                right = torch.zeros(len(losses))
                if len(rows):
                    labels = term.model.logits(reading[rows].rows).argmax(1)
                    right[rows] = (labels == term.labels[reading.owner[rows]]).float().cpu()
                metrics[f"{name}_accuracy"].update(right.tolist())
        return losses


def captions(objective: Objective, texts: Sequence[str], owners: Sequence[int]) -> Prompts:
    """Texts as an objective reads them: every model but the primary reads the very text.

    Args:
        objective: The objective.
        texts: N captions.
        owners: Index of each caption's target.
    """
    states = objective.encode_prompts(texts)
    return Prompts(states, list(owners), list(texts), [True] * len(states))


def transfer(model_id: str, search: Objective, targets: Sequence[Target]) -> Gauge:
    """A gauge of a model that took no part in the search, not loaded yet.

    Captions stand in the same prefix and suffix as in the search's first term over such a model.

    Args:
        model_id: The model.
        search: The search's objective.
        targets: What captions are measured for.

    Raises:
        FuseError: If there is no such model, or it has nothing to compare with.
    """
    model = auto_model(model_id)
    if any(resolve(term.model.model_id) == resolve(model_id) for term in search.terms):
        warnings.warn(
            f"{model_id!r} takes part in the search, so that its figures say nothing of transfer",
            stacklevel=2,
        )
    alike = [term for term in search.terms if isinstance(term.model, type(model))]
    frame = {key: getattr(term, key) for term in alike[:1] for key in ("prefix", "suffix")}
    term = _term(model, model_id, frame, search, targets)
    return Gauge(Objective([term]), term)


def _term(
    model: FrozenModel,
    name: str,
    frame: dict[str, Any],
    search: Objective,
    targets: Sequence[Target],
) -> Term:
    match model:
        case CausalLM():
            return Fluency(model, name=name, **frame)
        case CLIP() if all(target.pictures for target in targets):
            return ImageSimilarity(model, name=name, **frame)
        case TextEncoder() if all(target.text for target in targets):
            return TextSimilarity(model, name=name, **frame)
        case TextEncoder():
            needed = "a picture or a text" if isinstance(model, CLIP) else "a text"
        case Classifier():
            labels = [term.label for term in search.terms if isinstance(term, Sentiment)]
            label = next(iter(labels), None)
            if label is not None or all(target.sentiment for target in targets):
                return Sentiment(model, name=name, label=label, **frame)
            needed = "a wanted sentiment"
        case _:
            raise FuseError(f"{name!r} is a {model.kind}, which measures no captions")
    raise FuseError(
        f"{name!r} is a {model.kind}, but not every target has {needed} to compare with; "
        "leave the model out"
    )
