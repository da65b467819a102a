"""Checkpoints during a search: by the clock, and by default."""

import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

STEPS = 8
"""Steps between checkpoints, by default."""


class TimedCheckpoints(Callback):
    """Clock for ``ModelCheckpoint(train_time_interval=…)``, so that it works in searches.

    Lightning looks at the clock only where it optimizes by itself, and has no public way to ask
    for a checkpoint under its own name; the names with an underscore are its own.
    """

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        """Saves the checkpoints that are due, on all devices together."""
        for each in trainer.checkpoint_callbacks:
            interval = getattr(each, "_train_time_interval", None)
            if interval is None or not isinstance(each, ModelCheckpoint):
                continue
            last = each._last_time_checked
            due = last is not None and time.monotonic() - last >= interval.total_seconds()
            if trainer.strategy.broadcast(due) and not each._should_skip_saving_checkpoint(trainer):
                each._last_time_checked = time.monotonic()
                candidates = each._monitor_candidates(trainer)
                each._save_topk_checkpoint(trainer, candidates)
                each._save_last_checkpoint(trainer, candidates)


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
