"""State of a descent on embeddings between steps, as checkpoints hold it."""

from collections.abc import Mapping
from typing import Any, TypedDict, cast

from torch import Tensor

from fuse_lightning.objectives import State
from fuse_lightning.search.target_search import TargetSearch

MOMENTS = ("exp_avg", "exp_avg_sq")
"""Names of AdamW's moments, each of the embeddings' shape."""


class Descent(TypedDict):
    """State of a target's descent between steps.

    Attributes:
        iterate: The points that the next step projects on tokens, one prompt a restart, (R, L, d).
        moments: AdamW's moments of their gradients; empty before the first step, and where a
            descent has no moments.
        polish_after: The step in which the descent stalled, if it has.
    """

    iterate: Tensor
    moments: dict[str, Tensor]
    polish_after: int | None


def descent_of(search: TargetSearch[State]) -> Descent:
    """State of a target's descent, which checkpoints hold."""
    return cast(Descent, search.own)


def restored(saved: Mapping[str, Any], table: Tensor) -> Descent:
    """Checked descent of a checkpoint, on the model's device.

    Args:
        saved: State from a checkpoint.
        table: Embeddings of the primary's tokens, whose device and type it gets.

    Raises:
        LookupError, TypeError, ValueError: If it is of another model, or no descent.
    """
    iterate, moments, polish_after = (saved[key] for key in Descent.__annotations__)
    parts = [moments[key] for key in MOMENTS] if moments else []
    for part in (iterate, *parts):
        if part.shape != iterate.shape or part.shape[2:] != table.shape[1:]:
            raise ValueError("embeddings are of another model")
    if polish_after is not None and type(polish_after) is not int:
        raise TypeError("polish_after is no step")
    placed = {}
    if moments:
        placed = {key: moments[key].to(table) for key in MOMENTS}
        # AdamW keeps it on the CPU.
        placed["step"] = moments["step"].float().reshape(())
    return Descent(iterate=iterate.detach().to(table), moments=placed, polish_after=polish_after)
