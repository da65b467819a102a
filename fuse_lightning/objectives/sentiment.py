"""Term: a classifier's loss for a wanted label."""

from collections.abc import Mapping, Sequence
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric

from fuse_lightning.data.targets import Target
from fuse_lightning.engine.devices import to_device
from fuse_lightning.errors import FuseError
from fuse_lightning.metrics import MeanScore
from fuse_lightning.models import Classifier, FrozenModel
from fuse_lightning.models.options import ModelSource
from fuse_lightning.objectives.layout import Message
from fuse_lightning.objectives.reading import Reading, row_weights
from fuse_lightning.objectives.term import Term
from fuse_lightning.objectives.transfer import nothing_to_compare, placed_like


class Sentiment(Term):
    """Cross-entropy of the wanted label under a sequence classifier (nats).

    Where several labels may apply at once (``multi_label_classification``), that of the wanted one
    alone.

    Args:
        model: The classifier, or its id.
        weight: Factor in the objective; negative repels.
        prefix: Text before the prompt.
        suffix: Text after the prompt.
        name: Name in logs and results.
        label: Label wanted where a target wants none of its own.
        layout: Text or turns of a chat with ``{prompt}``, in place of prefix and suffix.
        score_weight: Factor in the number by which prompts are selected; by default ``weight``.
    """

    splits = True
    model: Classifier
    model_class = Classifier
    labels: Tensor

    def __init__(
        self,
        model: ModelSource | Classifier,
        weight: float = 1.0,
        prefix: str = "",
        suffix: str = "",
        name: str | None = None,
        label: str | None = None,
        layout: str | list[Message] | None = None,
        score_weight: float | None = None,
    ) -> None:
        super().__init__(model, weight, prefix, suffix, name, layout, score_weight)
        self.label = label

    def check(self) -> None:
        """Checks the term, and that the classifier has the label among several."""
        super().check()
        if len(self.model.labels) < 2:
            raise FuseError(
                f"{self.model.model_id!r} of {self.name} has {len(self.model.labels)} label, whose "
                "probability is always 1; give a classifier with at least 2"
            )
        if self.label is not None:
            self.model.label_index(self.label)

    def reads_targets(self, targets: Sequence[Target]) -> bool:
        """Whether a target wants a sentiment of its own."""
        return any(target.sentiment for target in targets)

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Finds the wanted class of each target.

        Raises:
            FuseError: If a target wants none, or one that the classifier does not know.
        """
        indices = []
        for target in targets:
            label = target.sentiment or self.label
            if label is None:
                raise FuseError(
                    f"target {target.id!r} wants no sentiment; set data.sentiment or the label "
                    f"of {self.name}"
                )
            indices.append(self.model.label_index(label))
        self.labels = torch.tensor(indices, device=self.model.device)

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """-log P(wanted label | text), shape (N,)."""
        logits = self.model.logits(reading.rows, embeds)
        wanted = self.labels[reading.owner]
        if self.model.multi_label:
            return -F.logsigmoid(logits.gather(1, wanted[:, None]).squeeze(1))
        return F.cross_entropy(logits, wanted, reduction="none")

    def metrics(self) -> dict[str, Metric]:
        """Share of rows with the wanted label."""
        return {"accuracy": MeanScore("share")}

    def update_metrics(
        self, metrics: Mapping[str, Metric], reading: Reading, losses: Tensor
    ) -> None:
        """Adds rows; a row that is too long counts as wrong."""
        right = torch.zeros(len(losses))
        rows = losses.isfinite().nonzero().flatten()
        if len(rows):
            labels = self.model.logits(reading[rows].rows).argmax(1)
            wanted = self.labels[to_device(reading.owner[rows], self.labels.device)]
            right[rows] = (labels == wanted).float().cpu()
        metrics["accuracy"].update(right, row_weights(reading))

    @classmethod
    def for_transfer(
        cls, model: FrozenModel, targets: Sequence[Target], search: Sequence[Term]
    ) -> Self | None:
        """Sentiment under another classifier, with the targets' labels or else the search's.

        Raises:
            FuseError: If a target wants no label, and the search has none for it.
        """
        if not isinstance(model, Classifier):
            return None
        labels = [term.label for term in search if isinstance(term, Sentiment)]
        label = next(iter(labels), None)
        if label is None and not all(target.sentiment for target in targets):
            raise nothing_to_compare(model, "a wanted sentiment")
        return cls(model, label=label, **placed_like(model, search))
