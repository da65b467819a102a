"""Term: divergence of a language model's expectation from the prompt's embeddings."""

from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F

from fuse_lightning.engine.devices import gather_at, to_device
from fuse_lightning.objectives.causal_term import CausalTerm, row_sums
from fuse_lightning.objectives.reading import Reading

CHUNK = 4096


class KLDivergence(CausalTerm):
    """Mean over prompt tokens of KL(P(. | all before) || Q(. | e_i)) (nats, lower is better).

    P is the model's next-token distribution over the tokens that the tokenizer knows. Q is what
    the embedding e_i at that place implies: the softmax of the weights of least norm with which
    the rows of the embedding table add up to e_i, that is of pinv(table)^T e_i. Published with
    FUSE (arXiv 2408.04816) as an approximation of :class:`LogProb`.

    The weights of a token's own embedding lie in [-1, 1], so Q is nearly flat there, and the
    value is mostly log V less the entropy of P.
    """

    # In this direction the loss pulls e_i to where P has its mass. KL(Q || P) would be led by
    # log P of the many tokens that the model rules out, whatever the embedding is.

    def loss(self, reading: Reading, embeds: Tensor | None = None) -> Tensor:
        """Mean divergence over prompt tokens, shape (N,)."""
        ids, counted = reading.rows.ids, reading.prompt[:, 1:]
        tokens = self.model.embed(ids) if embeds is None else embeds
        before = F.pad(counted, (0, 1))
        logits = self.model.logits_at(before, ids, reading.rows.mask, embeds)
        expected = logits[:, : self.model.vocab_size].log_softmax(-1)
        implied = self.scores(gather_at(tokens[:, 1:], counted)).log_softmax(-1)
        losses = F.kl_div(implied, expected, reduction="none", log_target=True).sum(-1)
        counts = to_device(counted.sum(1), losses.device)
        return row_sums(losses, counted) / counts.clamp(min=1)

    def scores(self, embeds: Tensor) -> Tensor:
        """pinv(table)^T e for each embedding: from (M, d) to (M, V), float32."""
        # pinv(E)^T = E pinv(E^T E). The small product is in float64, as the condition of
        # E^T E is the square of that of E; of its result float32 is enough.
        return (embeds.double() @ self._inverse).float() @ self.model.embedding_table.float().T

    @cached_property
    def _inverse(self) -> Tensor:
        """pinv(E^T E) of the embedding table E, shape (d, d), float64."""
        with torch.no_grad():
            table = self.model.embedding_table
            gram = table.new_zeros(table.shape[1], table.shape[1], dtype=torch.float64)
            for rows in torch.split(table, CHUNK):
                gram += rows.double().T @ rows.double()
            inverse: Tensor = torch.linalg.pinv(gram, hermitian=True)
            return inverse
