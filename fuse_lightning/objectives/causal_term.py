"""Base of terms of causal language models."""

from torch import Tensor
from torchmetrics import Metric

from fuse_lightning.engine.devices import indices, to_device
from fuse_lightning.errors import FuseError
from fuse_lightning.metrics import MeanLoss
from fuse_lightning.models import CausalLM
from fuse_lightning.models.options import ModelSource
from fuse_lightning.objectives.layout import Message
from fuse_lightning.objectives.reading import Reading
from fuse_lightning.objectives.term import Term


class CausalTerm(Term):
    """Term on the next-token probabilities of a causal language model."""

    model: CausalLM
    model_class = CausalLM

    def __init__(
        self,
        model: ModelSource | CausalLM,
        weight: float = 1.0,
        prefix: str = "",
        suffix: str = "",
        name: str | None = None,
        layout: str | list[Message] | None = None,
        score_weight: float | None = None,
    ) -> None:
        super().__init__(model, weight, prefix, suffix, name, layout, score_weight)

    def check(self) -> None:
        """Checks the term, and that a token comes before the first one of the prompt."""
        super().check()
        if not self.frame.head:
            raise FuseError(
                f"{self.model.model_id!r} has no begin token and {self.name} no prefix, so the "
                "first token has no likelihood; give a prefix, or the model a start"
            )

    def mean_nll(self, reading: Reading, counted: Tensor, embeds: Tensor | None) -> Tensor:
        """Mean of -log P(token | all before) over the counted tokens of each row, shape (N,)."""
        fixed, alike = reading.fixed, reading.alike
        nll = self.model.token_nll(reading.rows.ids, counted, embeds, fixed, alike=alike)
        return nll.sum(1) / to_device(counted.sum(1), nll.device).clamp(min=1)

    def metrics(self) -> dict[str, Metric]:
        """The mean loss, in nats per token."""
        return {"nll": MeanLoss("nats per token")}


def row_sums(values: Tensor, places: Tensor) -> Tensor:
    """Row sums of M values at the true places of a CPU mask: from (M,) to (N,)."""
    where = indices(places, values.device)
    return values.new_zeros(places.shape).index_put(where, values).sum(1)
