"""Interface between a term and an evaluation: metrics, and transfer to other models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

from torch import Tensor
from torchmetrics import Metric

from fuse_lightning.data.targets import Target
from fuse_lightning.metrics import MeanLoss
from fuse_lightning.models import FrozenModel
from fuse_lightning.objectives.reading import Reading


class Measured:
    """Base of terms, as an evaluation sees them: metrics of prompts, and transfer."""

    def metrics(self) -> dict[str, Metric]:
        """New metrics of this term by short name.

        An evaluation shows each behind the term's own name, as ``fluency_perplexity``. A metric's
        ``higher_is_better`` says its direction, an attribute ``unit`` its unit. A
        :class:`~fuse_lightning.metrics.MeanLoss` is the mean of the term's own loss, which the
        evaluation fills in; of a term of the search it is shown under the term's name alone.

        Returns:
            By default the mean loss.
        """
        return {"loss": MeanLoss()}

    def update_metrics(
        self, metrics: Mapping[str, Metric], reading: Reading, losses: Tensor
    ) -> None:
        """Hook: adds rows to the metrics, except to mean losses.

        Args:
            metrics: Metrics from :meth:`metrics`, without mean losses.
            reading: R rows of prompts of the targets that the term was given last, at least one.
            losses: Values from the term's ``score``, shape (R, ...), on the CPU; infinite
                for a row that is longer than its model reads.
        """

    @classmethod
    def for_transfer(
        cls, model: FrozenModel, targets: Sequence[Target], search: Sequence[Any]
    ) -> Self | None:
        """Term of this class that measures prompts with a model from outside the search.

        Args:
            model: The model, not loaded yet.
            targets: Targets of the prompts.
            search: The terms of the search.

        Returns:
            The term; ``None``, as by default, where this class is no measure for such a model.

        Raises:
            FuseError: If it is, but the targets have nothing to compare prompts with.
        """
        return None
