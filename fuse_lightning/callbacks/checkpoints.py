"""Checkpoints of a search: by the clock, at an early end, and by default."""

import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from fuse_lightning.search import search_of
from fuse_lightning.utilities.processes import gather

STEPS = 8
"""Steps between checkpoints, by default."""


class SearchCheckpoints(Callback):
    """Callback that makes Lightning's checkpoints fit for searches.

    Lightning looks at the clock of ``ModelCheckpoint(train_time_interval=…)`` only where it
    optimizes by itself. A run that ends before its targets, as by ``trainer.max_time``, would lose
    the steps since the last checkpoint. There is no public way to ask for a checkpoint under
    Lightning's own name; the names with an underscore are its own.
    """

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        """Saves the checkpoints that are due, on all devices together."""
        for each in _savers(trainer):
            interval = each._train_time_interval
            if interval is None:
                continue
            last = each._last_time_checked
            due = last is not None and time.monotonic() - last >= interval.total_seconds()
            if trainer.strategy.broadcast(due):
                each._last_time_checked = time.monotonic()
                _save(each, trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Saves where the run ends before its targets, on all devices together."""
        own = search_of(pl_module)
        early = bool(own.waiting) or any(not search.done for search in own.searches)
        if any(gather(early)):
            for each in _savers(trainer):
                _save(each, trainer)


def _savers(trainer: L.Trainer) -> list[ModelCheckpoint]:
    """Lightning's own checkpoint callbacks of a trainer."""
    return [each for each in trainer.checkpoint_callbacks if isinstance(each, ModelCheckpoint)]


def _save(callback: ModelCheckpoint, trainer: L.Trainer) -> None:
    """Saves a callback's checkpoint, unless it has saved at this step."""
    if not callback._should_skip_saving_checkpoint(trainer):
        candidates = callback._monitor_candidates(trainer)
        callback._save_topk_checkpoint(trainer, candidates)
        callback._save_last_checkpoint(trainer, candidates)


def is_untold(callback: Callback) -> bool:
    """Whether a callback is Lightning's default, which saves only at a run's end."""
    return (
        type(callback) is ModelCheckpoint
        and callback.dirpath is None
        and callback.filename is None
        and callback.monitor is None
        and callback.save_last is None
        and callback.save_top_k == 1
        and callback._every_n_train_steps < 1
        and callback._train_time_interval is None
    )


def step_checkpoint() -> ModelCheckpoint:
    """Checkpoint callback that takes the default's place: it writes every few steps."""
    return ModelCheckpoint(every_n_train_steps=STEPS)
