"""AutoPrompt-SGD: projected gradient descent on embeddings (arXiv 2212.10539, 2302.03668)."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from fuse_lightning.engine.devices import to_device
from fuse_lightning.objectives import Term
from fuse_lightning.optimizers.descent import DescentOptimizer, Move
from fuse_lightning.optimizers.descent_state import descent_of


class AutoPromptSGD(DescentOptimizer):
    """AutoPrompt-SGD optimizer: gradient steps from token to token, ``e <- Proj[e - eta * grad]``.

    Each step begins at the embeddings of the present tokens, moves them by plain SGD, and takes
    the nearest allowed tokens (by cosine) as the new prompt. PEZ adds such moves up in a continuous
    point; here the projection is the point, so that a move which reaches no other token is lost.
    Where all examples are read in every step, such a prompt never changes again: raise
    ``learning_rate``, read few examples a step, or use :class:`FluentPrompt`, which adds noise.

    The formula says plain SGD. The code released with PEZ runs this method with the optimizer of
    its soft prompts, Adafactor at a rate of 0.3, so that rates do not carry over.

    Args:
        terms: The objective; the model of the first term is the primary, its ids are the state.
        restarts: Prompts optimized for each target at once; the first starts as told, the others
            from random tokens.
        learning_rate: Step size eta. It multiplies the gradient itself, so that it depends on the
            terms' weights and on the size of the primary's embeddings.
        polish_steps: How many steps at the end replace single tokens of the best prompt instead,
            as GCG does; the end of a descent that ``patience`` stops too.
        **options: Options of every :class:`DescentOptimizer`.
    """

    def __init__(
        self,
        terms: list[Term],
        restarts: int = 1,
        learning_rate: float = 1.0,
        polish_steps: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(terms, restarts, learning_rate, polish_steps, **options)

    def move(self, moves: Sequence[Move]) -> None:
        """One projected gradient step from the embeddings of the present tokens."""
        table = self.objective.primary.embedding_table
        for each in moves:
            tokens = table[to_device(each.ids, table.device)].float()
            point = tokens - self.learning_rate * each.gradient.to(tokens)
            descent_of(each.search)["iterate"] = self.disturbed(point, each)

    def disturbed(self, point: Tensor, move: Move) -> Tensor:
        """Points with the method's noise, shape (R, L, d); without noise here."""
        return point
