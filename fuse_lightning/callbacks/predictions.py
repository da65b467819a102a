"""Output of ``predict``: printed, or written as rows of a file."""

import sys
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from fuse_lightning.callbacks.table import print_results
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.stored import all_targets, matched, without
from fuse_lightning.results.distributed import gathered
from fuse_lightning.results.export import csv_text, json_lines
from fuse_lightning.results.result import Result
from fuse_lightning.search import search_of
from fuse_lightning.utilities.files import replace_file
from fuse_lightning.utilities.terminal import visible

SUFFIXES = (".csv", ".jsonl")


class Predictions(Callback):
    """Callback that prints or writes the prompts of each target, and names those without one.

    Args:
        out: File to write, ``.csv`` or ``.jsonl``, in place of printing.
    """

    def __init__(self, out: Path | None = None) -> None:
        if out is not None and Path(out).suffix not in SUFFIXES:
            raise FuseError(f"out is {str(out)!r}; it must end in {' or '.join(SUFFIXES)}")
        self.out = None if out is None else Path(out)
        self.results: list[Result] = []

    def on_predict_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Checks that there are prompts."""
        matched(all_targets(trainer), search_of(pl_module).results)
        self.results = []

    def on_predict_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        *args: Any,
    ) -> None:
        """Collects the prompts of a batch."""
        self.results += [Result(**row) for row in outputs]

    def on_predict_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Writes the prompts of all devices, in the order of the targets."""
        results = gathered(self.results, trainer)
        if not trainer.is_global_zero:
            return
        if self.out is None:
            print_results(results)
        else:
            self.out.parent.mkdir(parents=True, exist_ok=True)
            as_lines = self.out.suffix == ".jsonl"
            replace_file(self.out, json_lines(results) if as_lines else csv_text(results))
            print(f"wrote {len(results)} prompts to {self.out}")
        targets, found = matched(all_targets(trainer), search_of(pl_module).results)
        if missing := without(targets, found):
            names = ", ".join(map(visible, missing))
            count = f"{len(missing)} of {len(targets)}"
            print(
                f"no prompt yet for {count} targets: {names}",
                file=sys.stderr,
            )
