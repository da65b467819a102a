"""Callbacks of a ready-made search: results as they are found, and a bar on standard error."""

import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import groupby
from typing import Any, TextIO

import lightning as L
from lightning.pytorch.callbacks import Callback

from fuse_lightning.callbacks import PromptProgressBar
from fuse_lightning.results.result import Result
from fuse_lightning.search import search_of
from fuse_lightning.utilities.interrupts import interruption

Found = Callable[[list[Result]], None]


class Announcer(Callback):
    """Callback that reports the prompts of each target once its search has ended.

    Where the user interrupts the search, it also reports the best prompts so far of the targets
    under way, with ``finished`` false.

    Args:
        found: Function that gets the prompts of a target, best first.
    """

    def __init__(self, found: Found) -> None:
        self.found = found
        self.told = 0

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        """Reports the results that are new since the last step."""
        results = search_of(pl_module).results
        new = results[self.told :]
        self.told = len(results)
        self._report(new)

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Reports what was found until an interrupt."""
        if interruption(exception) is None:
            return
        self.on_train_batch_end(trainer, pl_module)
        module = search_of(pl_module)
        for search in module.searches:
            if not search.done:
                kept = replace(search, kept=module.reported(search))
                self._report(kept.results(module.loss_names(), module.seed, module.ids_of))

    def _report(self, results: list[Result]) -> None:
        for _, rows in groupby(results, key=lambda result: result.target):
            self.found([*rows])


class ErrorStreamBar(PromptProgressBar):
    """Progress bar on standard error, so that standard output holds the prompts alone."""

    @property
    def stream(self) -> TextIO:
        """Where the bar is drawn."""
        return sys.stderr

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes the bar away: what was found stands on its own."""
        self.train_progress_bar.leave = False
        super().on_train_end(trainer, pl_module)
