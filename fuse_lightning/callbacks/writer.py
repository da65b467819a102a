"""Result files that grow as targets finish."""

import csv
import io
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fuse_lightning.errors import FuseError
from fuse_lightning.results import Result


class PromptWriter(Callback):
    """Writes every finished target to ``prompts.csv`` and ``prompts.jsonl`` at once.

    The files lie in the run's log folder. A resumed run begins with the results that its
    checkpoint holds. Over several devices each writes files of its own, named by rank; at the end
    they become one, in the order of the targets.
    """

    def __init__(self) -> None:
        self.written = 0
        self.folder: Path | None = None

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts both files with the results there are."""
        self.folder = Path(trainer.log_dir or trainer.default_root_dir)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._begin(self.paths(trainer), pl_module)

    def _begin(self, paths: tuple[Path, Path], pl_module: L.LightningModule) -> None:
        self.written = 0
        for path in paths:
            path.write_text("", encoding="utf-8")
        self._write(paths, pl_module)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        """Adds new results."""
        self._write(self.paths(trainer), pl_module)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Joins the files of several devices."""
        if trainer.world_size == 1:
            return
        if trainer.is_global_zero:
            self._begin(self._files(""), pl_module)
        trainer.strategy.barrier()
        for path in self.paths(trainer):
            path.unlink()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Says, once a run ends early, where its results are and how it goes on."""
        if self.folder is None or not trainer.is_global_zero:
            return
        # Bad input that shows before anything is found would come back.
        if isinstance(exception, FuseError) and not self.written:
            return
        lines = [f"{self.written} prompts are in {self.paths(trainer)[1]}"]
        if (self.folder / "config.yaml").is_file():
            lines.append(f"go on with: fuse fit --resume {shlex.quote(str(self.folder))}")
        print(*lines, sep="\n", file=sys.stderr, flush=True)

    def paths(self, trainer: L.Trainer) -> tuple[Path, Path]:
        """The CSV and the JSON-lines file."""
        return self._files(f"-rank{trainer.global_rank}" if trainer.world_size > 1 else "")

    def _files(self, rank: str) -> tuple[Path, Path]:
        assert self.folder is not None
        return self.folder / f"prompts{rank}.csv", self.folder / f"prompts{rank}.jsonl"

    def _write(self, paths: tuple[Path, Path], pl_module: L.LightningModule) -> None:
        results: list[Result] = pl_module.results  # type: ignore[assignment]
        table, lines = paths
        for result in results[self.written :]:
            row = csv_row(result)
            with table.open("a", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, row, lineterminator="\n")
                if self.written == 0:
                    writer.writeheader()
                writer.writerow(row)
            with lines.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result.to_dict(), ensure_ascii=False) + "\n")
            self.written += 1


def csv_row(result: Result) -> dict[str, str | float | int]:
    """A result as one flat row: a column for each term's loss, ids separated by spaces."""
    return {
        "target": result.target,
        "rank": result.rank,
        "prompt": result.prompt,
        "loss": result.loss,
        **{f"loss_{name}": loss for name, loss in result.losses.items()},
        "step": result.step,
        "seed": result.seed,
        "seconds": result.seconds,
        "ids": " ".join(map(str, result.ids)),
    }


class PromptTable(Callback):
    """Prints the prompts at the end of a run, as a table on a terminal.

    Args:
        enabled: Whether to print.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Prints target, prompt and losses."""
        results: list[Result] = pl_module.results  # type: ignore[assignment]
        if self.enabled and results and trainer.is_global_zero:
            print_results(results)


def print_results(results: Sequence[Result]) -> None:
    """Prints target, prompt and losses, with a column for each term."""
    table = Table("target", "prompt", "loss", *results[0].losses)
    for result in results:
        numbers = [result.loss, *result.losses.values()]
        cells = [result.target, result.prompt, *(f"{number:.3f}" for number in numbers)]
        table.add_row(*(Text(cell) for cell in cells))
    print_table(table)


def print_table(table: Table) -> None:
    """Prints a table as wide as the terminal, or 160 characters where there is none."""
    stream = io.StringIO()
    console = Console()
    width = console.width if console.is_terminal else 160
    Console(file=stream, width=width, force_terminal=console.is_terminal).print(table)
    print(stream.getvalue(), end="", flush=True)


__all__ = ["PromptTable", "PromptWriter", "csv_row", "print_results", "print_table"]
