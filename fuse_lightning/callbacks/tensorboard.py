"""Target pictures and best prompts in TensorBoard."""

from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image

from fuse_lightning.data.targets import TargetBatch
from fuse_lightning.terminal import visible

THUMBNAIL = 256


class TensorBoardPrompts(Callback):
    """Shows each target's pictures once, and its best prompt whenever that changes."""

    def __init__(self) -> None:
        self.shown: dict[str, str] = {}

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: TargetBatch,
        batch_idx: int,
    ) -> None:
        """Writes what is new."""
        boards = [
            logger.experiment for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)
        ]
        step = trainer.global_step
        found: Any = pl_module.best
        for target, best in zip(batch.targets, found, strict=True):
            name = visible(target.id)
            new = name not in self.shown
            for board in boards:
                if new and target.pictures:
                    board.add_image(
                        f"target/{name}", _strip(target.images), step, dataformats="HWC"
                    )
                if best is not None and self.shown.get(name) != best.prompt:
                    # TensorBoard reads markdown: an indented line is shown as it is.
                    text = f"    {visible(best.prompt)}\n\nloss {best.loss:.4f}"
                    board.add_text(f"prompt/{name}", text, step)
            self.shown[name] = "" if best is None else best.prompt


def _strip(images: list[Image.Image]) -> np.ndarray[Any, Any]:
    """Up to four thumbnails side by side, (H, W, 3)."""
    tiles = []
    for image in images[:4]:
        tile = image.copy()
        tile.thumbnail((THUMBNAIL, THUMBNAIL))
        tiles.append(tile)
    strip = Image.new("RGB", (sum(t.width for t in tiles), max(t.height for t in tiles)), "white")
    left = 0
    for tile in tiles:
        strip.paste(tile, (left, 0))
        left += tile.width
    return np.asarray(strip)
