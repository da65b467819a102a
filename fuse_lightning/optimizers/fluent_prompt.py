"""FluentPrompt: Langevin dynamics over prompts (arXiv 2212.10539)."""

import math
from typing import Any

import torch
from torch import Tensor

from fuse_lightning.engine.devices import to_device
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Term
from fuse_lightning.optimizers.autoprompt_sgd import AutoPromptSGD
from fuse_lightning.optimizers.descent import Move
from fuse_lightning.utilities.numbers import check_number


class FluentPrompt(AutoPromptSGD):
    """FluentPrompt optimizer: projected gradient steps with noise that fades.

    A step is ``e <- Proj[e - eta * grad + sqrt(2 * eta * beta) * z]``: :class:`AutoPromptSGD` with
    standard normal noise z from the target's random stream. Its share beta falls geometrically
    from ``noise_start`` in the first move to ``noise_end`` in the last one before the polish.
    Fluency is a term of the objective, such as :class:`~fuse_lightning.objectives.Fluency`.

    The noise has one size in all dimensions: at the published start it is larger than the
    embeddings of most models, so that the first prompts are nearly random.

    Args:
        terms: The objective; the model of the first term is the primary, its ids are the state.
        restarts: Prompts optimized for each target at once; the first starts as told, the others
            from random tokens.
        learning_rate: Step size eta of the gradient, and of the noise.
        polish_steps: How many steps at the end replace single tokens of the best prompt instead,
            as GCG does; the end of a descent that ``patience`` stops too.
        noise_start: Share beta of the noise in the first move.
        noise_end: Share beta of the noise in the last move.
        **options: Options of every :class:`DescentOptimizer`.
    """

    def __init__(
        self,
        terms: list[Term],
        restarts: int = 1,
        learning_rate: float = 1.0,
        polish_steps: int = 0,
        noise_start: float = 1.0,
        noise_end: float = 1e-4,
        **options: Any,
    ) -> None:
        super().__init__(terms, restarts, learning_rate, polish_steps, **options)
        for name, value in (("noise_start", noise_start), ("noise_end", noise_end)):
            check_number(name, value)
            if value <= 0:
                raise FuseError(
                    f"{name} is {value}; it must be above 0 (AutoPromptSGD has no noise)"
                )
        self.noise_start = noise_start
        self.noise_end = noise_end

    def disturbed(self, point: Tensor, move: Move) -> Tensor:
        """Points with noise from the target's random stream, shape (R, L, d)."""
        # The last step of a descent is projected and scored, and moves nothing.
        count = self.steps - self.polish_steps - 1
        beta = noise_share(move.search.step - 1, count, self.noise_start, self.noise_end)
        noise = torch.randn(point.shape, generator=move.search.generator, dtype=point.dtype)
        return point + math.sqrt(2 * self.learning_rate * beta) * to_device(noise, point.device)


def noise_share(move: int, count: int, start: float, end: float) -> float:
    """Share of the noise in one of several moves, on a geometric line from start to end.

    >>> [noise_share(move, 5, 1.0, 1e-4) for move in range(5)]
    [1.0, 0.1, 0.01, 0.001, 0.0001]

    Args:
        move: Number of the move, from 0.
        count: Number of all moves.
        start: Share in the first.
        end: Share in the last.
    """
    return start * math.pow(end / start, move / max(1, count - 1))
