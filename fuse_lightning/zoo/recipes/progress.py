"""Progress lines of a training."""

import time
from typing import Any

import lightning as L

EVERY = 60.0
"""Seconds between two lines."""


class ProgressLines(L.Callback):
    """Callback that prints lines with a model's name, steps, losses and time left.

    Args:
        name: What is trained.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.begun = self.written = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Notes the time."""
        self.begun = self.written = time.monotonic()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Writes a line at intervals, and after the last step."""
        now, done, steps = time.monotonic(), batch_idx + 1, trainer.max_steps
        if done < steps and now - self.written < EVERY:
            return
        self.written = now
        left = (now - self.begun) * (steps - done) / done / 60
        losses = [f"{name} {value:.4f}" for name, value in trainer.callback_metrics.items()]
        parts = [f"step {done} of {steps}", *losses, f"{left:.0f} min left"]
        print(f"{self.name}: {', '.join(parts)}", flush=True)
