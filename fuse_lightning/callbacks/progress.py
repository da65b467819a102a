"""A progress bar that shows the best prompt."""

import lightning as L
from lightning.pytorch.callbacks import TQDMProgressBar

SHOWN = 60


class PromptProgressBar(TQDMProgressBar):
    """Step, mean best loss of the batch, and the best prompt of its first target."""

    def get_metrics(
        self, trainer: L.Trainer, pl_module: L.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """Adds loss and prompt to the usual metrics."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        found = [best for best in pl_module.best if best is not None]  # type: ignore[union-attr]
        if found:
            prompt = found[0].prompt
            metrics["best"] = f"{sum(best.loss for best in found) / len(found):.3f}"
            metrics["prompt"] = prompt if len(prompt) <= SHOWN else f"…{prompt[-SHOWN:]}"
        return metrics
