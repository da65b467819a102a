"""Metrics derived from terms, such as perplexity from Fluency."""

import warnings
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.metrics import MeanLoss
from fuse_lightning.models import FrozenModel
from fuse_lightning.models.auto import auto_model
from fuse_lightning.models.loading import resolve
from fuse_lightning.objectives import (
    Classification,
    Fluency,
    ImageSimilarity,
    Objective,
    Prompts,
    Reasoning,
    Sentiment,
    Seq2SeqClassification,
    Term,
    TextSimilarity,
)
from fuse_lightning.objectives.reading import mean_of
from fuse_lightning.objectives.row_values import item_losses, row_values

TRANSFERS: tuple[type[Term], ...] = (
    Classification,
    Seq2SeqClassification,
    Reasoning,
    Fluency,
    ImageSimilarity,
    TextSimilarity,
    Sentiment,
)
"""Terms that may measure prompts with another model, in the order of precedence."""
LOSS = ""
"""Short name of the loss of a term of the search."""


class TermMetrics:
    """Metrics of one term, whether it is a term of the search or not.

    Args:
        objective: The objective that the term is of.
        term: The term; its name begins the names of the figures.
        own: Whether it is a term of the search, whose loss is always a figure.
    """

    def __init__(self, objective: Objective, term: Term, own: bool = False) -> None:
        self.objective = objective
        self.term = term
        self.own = own

    def metrics(self) -> dict[str, Metric]:
        """New metrics by short name; :data:`LOSS` is the loss of a term of the search."""
        found = self.term.metrics()
        if not self.own:
            return found
        losses = [name for name, metric in found.items() if isinstance(metric, MeanLoss)]
        loss = found.pop(losses[0]) if losses else MeanLoss()
        return {LOSS: loss, **found}

    def figure(self, short: str) -> str:
        """Name of a metric's figure."""
        return self.term.name if short == LOSS else f"{self.term.name}_{short}"

    def update(self, metrics: Mapping[str, Metric], prompts: Prompts) -> Tensor:
        """Measures prompts of the targets that were last given to the objective.

        Args:
            metrics: Metrics from :meth:`metrics`.
            prompts: N prompts.

        Returns:
            Unweighted losses, shape (N,); infinite for a prompt that is too long to be read.
        """
        losses = torch.empty(0)
        if prompts.states:
            reading = self.term.read(prompts)
            values = row_values(self.term, reading, self.term.score)
            items = item_losses(self.term, reading, values)
            losses = mean_of(items, reading.pairs[:, 0], len(prompts.states)).cpu()
            rest = {n: each for n, each in metrics.items() if not isinstance(each, MeanLoss)}
            self.term.update_metrics(rest, reading, values.cpu())
        for metric in metrics.values():
            if isinstance(metric, MeanLoss):
                metric.update(losses)
        return losses


def as_prompts(objective: Objective, texts: Sequence[str], owners: Sequence[int]) -> Prompts:
    """Texts as prompts of an objective; every model but the primary reads the exact text.

    Args:
        objective: The objective.
        texts: N texts.
        owners: Index of each text's target.
    """
    states = objective.encode_prompts(texts)
    return Prompts(states, list(owners), list(texts), [True] * len(states))


def transfer(
    model_id: str,
    search: Objective,
    targets: Sequence[Target],
    kind: type[FrozenModel] | None = None,
) -> TermMetrics:
    """Metrics of a model that took no part in the search, not yet loaded.

    Args:
        model_id: The model.
        search: The search's objective.
        targets: Targets of the prompts.
        kind: Class that the model must have; ``None`` for any.

    Raises:
        FuseError: If there is no such model, it is of another kind, or it has nothing to compare
            prompts with.
    """
    model = auto_model(model_id)
    if kind is not None and not isinstance(model, kind):
        raise FuseError(f"{model_id!r} is a {model.kind}, not a {kind.kind}; give it as --transfer")
    taken = {resolve(each.model_id) for term in search.terms for each in term.models}
    if resolve(model_id) in taken:
        warnings.warn(
            f"{model_id!r} takes part in the search, so that its figures say nothing of transfer",
            stacklevel=2,
        )
    term = transfer_term(model, targets, search.terms)
    return TermMetrics(Objective([term]), term)


def transfer_term(model: FrozenModel, targets: Sequence[Target], search: Sequence[Term]) -> Term:
    """Term that measures prompts with a model that took no part in the search.

    Terms of the package are asked first, then those of the search's own classes.

    Args:
        model: The model.
        targets: Targets of the prompts.
        search: The terms of the search.

    Raises:
        FuseError: If no term reads such a model, or the targets have nothing to compare with.
    """
    own = [type(term) for term in search]
    for kind in dict.fromkeys([*TRANSFERS, *own]):
        if (term := kind.for_transfer(model, targets, search)) is not None:
            return term
    raise FuseError(f"{model.model_id!r} is a {model.kind}, which measures no prompts")
