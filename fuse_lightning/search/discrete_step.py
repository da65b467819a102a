"""Torch optimizer that counts search steps."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class DiscreteStep(torch.optim.Optimizer):
    """Torch optimizer without parameters that only runs its closure.

    Lightning counts optimizer steps: with this one, ``global_step``, ``max_steps``, step
    checkpoints and precision plugins work for a search without trainable parameters.

    Args:
        counter: Any leaf tensor; optimizers need one.
    """

    def __init__(self, counter: Tensor) -> None:
        super().__init__([counter], {})

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Runs ``closure`` and returns what it returns."""
        return None if closure is None else closure()
