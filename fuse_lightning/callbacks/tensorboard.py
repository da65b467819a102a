"""TensorBoard: target pictures, best prompts, and chains of prompts for questions."""

from inspect import signature
from statistics import fmean
from typing import Any

import lightning as L
import numpy as np
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from PIL import Image

from fuse_lightning.callbacks.chain_texts import ChainTexts
from fuse_lightning.data import TargetBatch
from fuse_lightning.results.run_folder import folder_of
from fuse_lightning.search import SearchModule, search_of
from fuse_lightning.search.curves import by_own_steps
from fuse_lightning.utilities.terminal import visible

THUMBNAIL = 256


class TensorBoardPrompts(Callback):
    """Callback that logs each target's pictures once, and each better prompt.

    Where a model reasons, a text shows what it writes for a few questions that choose prompts, with
    the prompt that the search begins with and with the best one.

    Over several devices each but the first writes a run of its own below the run's folder,
    ``rank1`` and so on, if it has targets of its own. At the end come the best loss over the
    targets' own steps (``own_steps``), and the options of the search with its final losses and what
    it has used.
    """

    def __init__(self) -> None:
        self.shown: dict[str, str] = {}
        self.boards: list[Any] = []
        self.chains = ChainTexts()

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Chooses the TensorBoard writer."""
        folder = folder_of(trainer)
        loggers = _loggers(trainer)
        if trainer.is_global_zero:
            self.boards = [logger.experiment for logger in loggers]
        elif loggers and search_of(pl_module).team.leads:
            # Slow to import, and only needed here.
            from torch.utils.tensorboard import SummaryWriter

            place = folder / f"rank{trainer.global_rank}"
            self.boards = [SummaryWriter(str(place))]

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: TargetBatch,
        batch_idx: int,
    ) -> None:
        """Logs new pictures and better prompts."""
        step = trainer.global_step
        found = search_of(pl_module).best
        for place, (target, best) in enumerate(zip(batch.targets, found, strict=True)):
            name = visible(target.id)
            new = name not in self.shown
            better = best is not None and self.shown.get(name) != best.prompt
            told = self.chains.text(pl_module, place) if better and self.boards else ""
            for board in self.boards:
                if new and target.pictures:
                    board.add_image(
                        f"target/{name}", _strip(target.images), step, dataformats="HWC"
                    )
                if told:
                    board.add_text(f"chains/{name}", told, step)
                if best is not None and better:
                    # TensorBoard reads markdown: an indented line is shown as it is.
                    text = f"    {visible(best.prompt)}\n\nloss {best.loss:.4f}"
                    board.add_text(f"prompt/{name}", text, step)
            self.shown[name] = "" if best is None else best.prompt

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes the curve over own steps, and options, final losses and use side by side."""
        module = search_of(pl_module)
        best = [result for result in module.results if result.rank == 1]
        for board in self.boards:
            for name, points in by_own_steps(best).items() if trainer.is_global_zero else ():
                for step, loss in points:
                    board.add_scalar(f"own_steps/{name}", loss, step)
            board.flush()
        if not best or not trainer.is_global_zero:
            return
        final = {"final/best": fmean(result.loss for result in best)}
        for name in best[0].losses:
            final[f"final/{name}"] = fmean(result.losses[name] for result in best)
        for name in ("evaluations", "tokens", "seconds", "flops"):
            final[f"final/{name}"] = fmean(getattr(result, name) for result in best)
        for logger in _loggers(trainer):
            logger.log_hyperparams(_options(module), final)


def _loggers(trainer: L.Trainer) -> list[TensorBoardLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]


def _options(module: SearchModule[Any]) -> dict[str, Any]:
    """Options of a search that are numbers or words, such as the weights of its terms."""
    kinds = [kind for kind in type(module).__mro__ if issubclass(kind, SearchModule)]
    names = {name for kind in kinds for name in signature(kind).parameters}
    told = {name: getattr(module, name, None) for name in sorted(names)}
    told |= {"optimizer": type(module).__name__, "frontier": type(module.frontier).__name__}
    told |= module.settings()
    return {
        visible(name): visible(value) if isinstance(value, str) else value
        for name, value in told.items()
        if isinstance(value, str | int | float)
    }


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
