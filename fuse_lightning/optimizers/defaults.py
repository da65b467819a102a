"""The callbacks of a search that its trainer was not given."""

from collections.abc import Callable

from lightning.pytorch.callbacks import Callback, RichProgressBar, TQDMProgressBar

from fuse_lightning.callbacks import (
    PromptProgressBar,
    PromptTable,
    PromptWriter,
    TensorBoardPrompts,
)
from fuse_lightning.evaluation import Evaluation, Predictions
from fuse_lightning.search import GreedySearch, SearchStrategy

DEFAULTS: tuple[tuple[type[Callback], Callable[[], Callback]], ...] = (
    (SearchStrategy, GreedySearch),
    (PromptWriter, PromptWriter),
    (TensorBoardPrompts, TensorBoardPrompts),
    (PromptTable, PromptTable),
    (Evaluation, Evaluation),
    (Predictions, Predictions),
)
"""A kind of callback, and what makes one if there is none of its kind."""


def missing_callbacks(given: list[Callback]) -> list[Callback]:
    """Callbacks to add to a trainer's.

    Lightning's default progress bar is taken from ``given``, to make room for one that shows the
    best prompt.
    """
    shown = [bar for bar in given if type(bar) in (TQDMProgressBar, RichProgressBar)]
    for bar in shown:
        given.remove(bar)
    added = [make() for kind, make in DEFAULTS if not any(isinstance(each, kind) for each in given)]
    return [*added, PromptProgressBar()] if shown else added
