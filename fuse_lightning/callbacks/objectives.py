"""The objective of a trainer's search, for callbacks that score prompts."""

import lightning as L

from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Objective


def objective_of(module: L.LightningModule, who: str) -> Objective:
    """The objective that a search scores prompts with.

    Args:
        module: The search.
        who: Name of the callback that scores, for the error.

    Raises:
        FuseError: If the search has none, as one that is no ``PromptOptimizer``.
    """
    objective: object = getattr(module, "objective", None)
    if not isinstance(objective, Objective):
        raise FuseError(
            f"{who} scores prompts with an objective, and {type(module).__name__} has none; "
            "remove it from trainer.callbacks"
        )
    return objective
