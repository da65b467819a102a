"""Comparison of some tokens with a few others, or at another temperature."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fuse_lightning.engine.devices import to_device


@dataclass(frozen=True)
class Focus:
    """Tokens whose likelihood is among a few tokens, or at another temperature.

    Attributes:
        places: True for these tokens, shape (N, T), on the CPU.
        sets: Ids of the tokens of each of some sets, on the CPU.
        of: Number of each token's set, shape (N, T), on the CPU; -1 for all tokens.
        temperature: Divisor of the logits.
    """

    places: Tensor
    sets: Sequence[Tensor]
    of: Tensor
    temperature: float = 1.0

    def count(
        self,
        cells: tuple[Tensor, Tensor],
        wanted: Tensor,
        nll: Tensor,
        logits: Tensor,
        order: Tensor,
    ) -> Tensor:
        """-log P of M tokens, and whether each is the likeliest.

        Args:
            cells: Their rows and columns, both shape (M,), on the CPU.
            wanted: Their ids, shape (M,).
            nll: -log P among all tokens, shape (M,).
            logits: Shape (P, W).
            order: Place of each token's logits, shape (M,).

        Returns:
            Shape (M, 2): -log P, which is that of ``nll`` for other tokens than :attr:`places`;
            and 1 for one of these that is the likeliest of its set, else 0.
        """
        there = partial(to_device, device=logits.device)
        result = torch.stack([nll, torch.zeros_like(nll)], 1)
        here = self.places[cells]
        number = torch.where(here, self.of[cells], -2)
        for each in torch.unique(number[here]).tolist():
            some = there((number == each).nonzero().squeeze(1))
            known = logits[order[some]]
            own = known.gather(1, wanted[some, None]).squeeze(1)
            if each >= 0:
                known = known[:, there(self.sets[each])]
            found = (known / self.temperature).logsumexp(-1) - own / self.temperature
            likeliest = (own >= known.amax(-1)).to(found.dtype).detach()
            result = result.index_put((some,), torch.stack([found, likeliest], 1))
        return result
