"""What the losses of causal language models share."""

import torch
from torch import Tensor

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives.term import Reading, Term


class CausalTerm(Term):
    """A loss computed from what a causal language model expects next."""

    model: CausalLM
    model_class = CausalLM

    def __init__(
        self,
        model: str | CausalLM,
        weight: float = 1.0,
        prefix: str = "",
        suffix: str = "",
        name: str | None = None,
    ) -> None:
        super().__init__(model, weight, prefix, suffix, name)

    def check(self) -> None:
        """Also requires something before the first token of the prompt."""
        super().check()
        if not (self.model.start_ids or self.model.prefix_ids(self.prefix)):
            raise FuseError(
                f"{self.model.model_id!r} has no begin token and {self.name} no prefix, so the "
                "first token has no likelihood; give a prefix"
            )

    def nll(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """-log P(token | all before) of every token but the first (nats), shape (N, T - 1)."""
        ids, mask = reading.encoded.ids, reading.encoded.mask
        logits = self.model.logits(ids, mask, embeds)[:, :-1]
        return logits.logsumexp(-1) - logits.gather(-1, ids[:, 1:, None]).squeeze(-1)


def mean_over(counted: Tensor, values: Tensor) -> Tensor:
    """Mean of the counted values of each row, 0 where there are none: from (N, T) to (N,)."""
    return torch.where(counted, values, 0.0).sum(1) / counted.sum(1).clamp(min=1)
