"""Optimizers of the zoo's training: AdamW, Muon, and both together."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

WEIGHT_DECAY = 0.05
MUON_FACTOR = 6.0
"""Learning rate of Muon, scaled to updates of AdamW's size, over that of AdamW."""


def adamw(parameters: Iterable[nn.Parameter], learning_rate: float) -> Optimizer:
    """AdamW; norms and biases do not decay."""
    decayed: list[nn.Parameter] = []
    rest: list[nn.Parameter] = []
    for parameter in parameters:
        (decayed if parameter.ndim > 1 else rest).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": WEIGHT_DECAY},
        {"params": rest, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98))


def muon(matrices: Iterable[nn.Parameter], learning_rate: float) -> Optimizer:
    """Muon (arXiv 2502.16982), at a learning rate that suits AdamW for the same model."""
    return torch.optim.Muon(
        matrices,
        lr=MUON_FACTOR * learning_rate,
        weight_decay=WEIGHT_DECAY,
        adjust_lr_fn="match_rms_adamw",
    )


class Together(Optimizer):
    """Optimizer of several optimizers that step together."""

    def __init__(self, parts: Sequence[Optimizer]) -> None:
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.parts = parts
        # The very groups of the parts, so that a schedule reaches these.
        self.param_groups = [group for part in parts for group in part.param_groups]

    def step(self, closure: Any = None) -> Any:
        """Steps all optimizers after one call of the closure."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss
