"""How likely a causal language model finds a prompt."""

import torch
from torch import Tensor

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives.term import Reading, Term


class Fluency(Term):
    """Mean negative log-likelihood of the prompt's tokens after the prefix (nats per token).

    The gradient reaches every prompt embedding through the likelihood of the tokens after it.
    """

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

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """Mean over prompt tokens of -log P(token | all before), shape (N,)."""
        ids, mask = reading.encoded.ids, reading.encoded.mask
        logits = self.model.logits(ids, mask, embeds)[:, :-1]
        chosen = logits.gather(-1, ids[:, 1:, None]).squeeze(-1)
        nll = logits.logsumexp(-1) - chosen
        counted = reading.prompt[:, 1:]
        total = torch.where(counted, nll, 0.0).sum(1)
        return total / counted.sum(1).clamp(min=1)
