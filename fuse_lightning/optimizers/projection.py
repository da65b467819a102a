"""Projection of embeddings on allowed tokens, and of token losses on embeddings."""

from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional as F


class Projection:
    """Projection between continuous embeddings and allowed tokens.

    >>> table = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8], [3.0, 0.0]])
    >>> projection = Projection(table, torch.tensor([1, 2, 3]))
    >>> projection.nearest(torch.tensor([[5.0, 0.1], [0.5, 0.5]]))
    tensor([3, 2])

    Args:
        table: Embeddings of all tokens, (V, d).
        allowed_ids: Tokens that a prompt may hold, (A,), on the CPU.
    """

    def __init__(self, table: Tensor, allowed_ids: Tensor) -> None:
        self.allowed_ids = allowed_ids
        self._allowed = allowed_ids.to(table.device)
        self._table = table

    @property
    def _embeddings(self) -> Tensor:
        """Embeddings of the allowed tokens, (A, d)."""
        return self._table[self._allowed].float()

    @cached_property
    def _directions(self) -> Tensor:
        """Embeddings of the allowed tokens at unit length, (A, d)."""
        return F.normalize(self._embeddings, dim=-1)

    def nearest(self, embeddings: Tensor) -> Tensor:
        """Allowed tokens nearest by cosine: from (..., d) to (...), on the CPU."""
        # Near tokens differ by less than the trainer's reduced precision tells apart.
        with torch.autocast(embeddings.device.type, enabled=False):
            nearest = (F.normalize(embeddings, dim=-1) @ self._directions.T).argmax(-1)
        return self.allowed_ids[nearest.cpu()]

    def slope(self, changes: Tensor) -> Tensor:
        """Gradient of the linear function of embeddings that fits losses of tokens best.

        Args:
            changes: How a loss changes with each token, (..., V).

        Returns:
            Shape (..., d).
        """
        allowed = changes[..., self._allowed]
        return (allowed - allowed.mean(-1, keepdim=True)) @ self._inverse.T

    @cached_property
    def _inverse(self) -> Tensor:
        """Pseudo-inverse of the allowed tokens' embeddings around their mean, (d, A)."""
        table = self._embeddings.double()
        centred = table - table.mean(0)
        # Of the small product it is exact enough in float64, and cheap.
        inverse: Tensor = torch.linalg.pinv(centred.T @ centred, hermitian=True) @ centred.T
        return inverse.float()
