"""PEZ: hard prompts made easy (arXiv 2302.03668)."""

from collections.abc import Sequence
from typing import Any

import torch

from fuse_lightning.objectives import Term
from fuse_lightning.optimizers.descent import DescentOptimizer, Move
from fuse_lightning.optimizers.descent_state import descent_of
from fuse_lightning.utilities.numbers import check_number


class PEZ(DescentOptimizer):
    """PEZ optimizer: descent on embeddings, with gradients at the nearest tokens.

    The continuous embeddings are projected on allowed tokens by cosine similarity, the gradient
    at the projection moves the continuous ones, which themselves are never overwritten. What is
    scored is the text of the projection as it is read back. All restarts and targets run in one
    batch; the frontier has nothing to choose and must be greedy.

    The projection ignores length: beside the gradients only ``learning_rate * weight_decay`` and
    the start over ``learning_rate`` matter.

    Args:
        terms: The objective; the model of the first term is the primary, its ids are the state.
        restarts: Prompts optimized for each target at once; the first starts as told, the others
            from random tokens.
        learning_rate: Learning rate of AdamW.
        weight_decay: Decoupled weight decay of AdamW.
        polish_steps: How many steps at the end replace single tokens of the best prompt instead,
            as GCG does; the end of a descent that ``patience`` stops too.
        **options: Options of every :class:`DescentOptimizer`.
    """

    def __init__(
        self,
        terms: list[Term],
        restarts: int = 1,
        learning_rate: float = 0.1,
        weight_decay: float = 0.1,
        polish_steps: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(terms, restarts, learning_rate, polish_steps, **options)
        check_number("weight_decay", weight_decay, 0)
        self.weight_decay = weight_decay

    def move(self, moves: Sequence[Move]) -> None:
        """One step of AdamW for the continuous embeddings of some targets."""
        descents = [descent_of(each.search) for each in moves]
        points = [descent["iterate"] for descent in descents]
        adam = torch.optim.AdamW(points, lr=self.learning_rate, weight_decay=self.weight_decay)
        for point, descent, each in zip(points, descents, moves, strict=True):
            # What AdamW remembers it writes where the target keeps it.
            adam.state[point] = descent["moments"]
            point.grad = each.gradient.to(point.device)
        adam.step()
        for point in points:
            point.grad = None
