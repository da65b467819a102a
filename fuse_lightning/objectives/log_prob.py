"""Term: fit of the prompt's embeddings to a language model's expectation."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import Metric

from fuse_lightning.engine.devices import gather_at
from fuse_lightning.errors import FuseError
from fuse_lightning.metrics import MeanLoss
from fuse_lightning.objectives.causal_term import CausalTerm, row_sums
from fuse_lightning.objectives.reading import Reading


class LogProb(CausalTerm):
    """Sum over prompt tokens of -[<e(x_i), h> - logsumexp_v <e(v), h>] (nats, lower is better).

    From MuCoLA (arXiv 2205.12558). h is the last hidden state before token i, as the output head
    gets it; e are the input embeddings, as the embedding layer gives them. Differentiable in
    e(x_i) itself, so that the gradient reaches every prompt embedding, the last one too; between
    the embeddings of tokens the loss may be negative.

    It is the model's own likelihood, :class:`Fluency` times the number of tokens, only where the
    embeddings of known tokens are also the output head. With untied weights, a bias, embeddings
    that are scaled, or rows beyond the tokenizer's it is not: prefer :class:`Fluency` there.
    """

    def check(self) -> None:
        """Checks the term, and that the head reads vectors of the width of embeddings."""
        super().check()
        if self.model.module.get_output_embeddings() is None:
            raise FuseError(
                f"{self.model.model_id!r} has no output head, which {self.name} needs; use Fluency"
            )
        ids = torch.zeros(1, 1, dtype=torch.long, device=self.model.device)
        states = self._states(ids, torch.ones_like(ids, dtype=torch.bool)).shape[-1]
        width = self.model.embed(ids).shape[-1]
        if states != width:
            raise FuseError(
                f"{self.model.model_id!r} has hidden states of width {states} but embeddings of "
                f"width {width}, which {self.name} cannot compare; use Fluency"
            )

    def _states(self, ids: Tensor, mask: Tensor, embeds: Tensor | None = None) -> Tensor:
        """Last hidden states, as given to the output head, shape (N, T, d)."""
        found: list[Tensor] = []

        def keep(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
            found.append(inputs[0].to(self.model.device))
            # Nobody reads the head's own scores, which are the dearest part of small models.
            return inputs[0][:, :1]

        head: nn.Module = self.model.module.get_output_embeddings()
        handle = head.register_forward_pre_hook(keep)
        try:
            self.model.logits(ids, mask, embeds)
        finally:
            handle.remove()
        return found[0]

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """Sum over prompt tokens, shape (N,)."""
        ids, counted = reading.rows.ids, reading.prompt[:, 1:]
        tokens = self.model.embed(ids) if embeds is None else embeds
        tokens = gather_at(tokens[:, 1:], counted)
        states = gather_at(self._states(ids, reading.rows.mask, embeds), F.pad(counted, (0, 1)))
        scores = states @ self.model.embedding_table.T
        losses = scores.float().logsumexp(-1) - (states.float() * tokens.float()).sum(-1)
        return row_sums(losses, counted)

    def metrics(self) -> dict[str, Metric]:
        """The mean loss, in nats."""
        return {"nll": MeanLoss("nats")}
