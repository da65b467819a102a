"""Default callbacks of a search, for a trainer that lacks them."""

from collections.abc import Callable

from lightning.pytorch.callbacks import (
    Callback,
    ModelSummary,
    RichModelSummary,
    RichProgressBar,
    TQDMProgressBar,
)

from fuse_lightning.callbacks import (
    FinalVerdict,
    Headroom,
    PortablePrompts,
    PromptProgressBar,
    PromptTable,
    PromptWriter,
    SearchCheckpoints,
    TensorBoardPrompts,
)
from fuse_lightning.callbacks.checkpoints import is_untold, step_checkpoint
from fuse_lightning.callbacks.evaluation import Evaluation
from fuse_lightning.callbacks.predictions import Predictions
from fuse_lightning.search import Frontier, GreedySearch

DEFAULTS: tuple[tuple[type[Callback], Callable[[], Callback]], ...] = (
    (Frontier, GreedySearch),
    (PromptWriter, PromptWriter),
    (TensorBoardPrompts, TensorBoardPrompts),
    (SearchCheckpoints, SearchCheckpoints),
    (PromptTable, PromptTable),
    (Evaluation, Evaluation),
    (Predictions, Predictions),
    (FinalVerdict, FinalVerdict),
    (Headroom, Headroom),
    (PortablePrompts, PortablePrompts),
)
"""Kinds of callbacks, and the function that makes a missing one."""


def missing_callbacks(given: list[Callback]) -> list[Callback]:
    """Default callbacks that a trainer lacks.

    Lightning's default progress bar and checkpoints are taken from ``given``, to make room for a
    bar that shows the best prompt, and for checkpoints while the search goes on. Its summary of
    weights goes too: a search trains none, and frozen models are not counted.
    """
    added = [make() for kind, make in DEFAULTS if not any(isinstance(each, kind) for each in given)]
    for each in [*given]:
        if type(each) in (TQDMProgressBar, RichProgressBar):
            given.remove(each)
            added.append(PromptProgressBar())
        elif type(each) in (ModelSummary, RichModelSummary):
            given.remove(each)
        elif is_untold(each):
            given.remove(each)
            added.append(step_checkpoint())
    return added
