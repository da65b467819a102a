"""Result files that grow as targets finish."""

import json
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from fuse_lightning.callbacks.formats import csv_text, json_lines
from fuse_lightning.callbacks.share import known_ids, own_ids
from fuse_lightning.errors import FuseError
from fuse_lightning.files import append_lines, replace_file
from fuse_lightning.results import Result, read_targets, result_files
from fuse_lightning.strategy import gather
from fuse_lightning.terminal import say, visible


class WriteError(FuseError):
    """Results cannot be written; the message says which of them are on disk."""


class PromptWriter(Callback):
    """Writes every finished target to ``prompts.csv`` and ``prompts.jsonl`` at once.

    The files lie in the run's log folder. A resumed run begins with the results that its
    checkpoint holds; what was found later stays in the files until it is found again. Over several
    devices each writes files of its own, named by rank; at the end they become one, in the order
    of the targets.

    Targets that were left out because they cannot be read are in ``skipped.jsonl``.

    The JSON lines hold the exact text. In the CSV controls are written as escapes, and a text that
    a spreadsheet would compute stands behind a single quote.

    Args:
        enabled: Whether to write.

    Raises:
        FuseError: If the files cannot be written, such as on a full disk.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self.written = 0
        self.whole = 0
        self.folder: Path | None = None
        self.file: Path | None = None
        self.earlier: dict[str, list[Result]] = {}

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Starts both files with the results there are."""
        if not self.enabled:
            return
        self.folder = Path(trainer.log_dir or trainer.default_root_dir)
        self.file = self.paths(trainer)[1]
        self.written = self.whole = 0
        with self._told(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        paths, results = self.paths(trainer), pl_module.results
        self._read(paths, own_ids(trainer))
        # What one device takes over from another is whole in a file at every moment: all read,
        # then the first writes, then the others.
        for writes in (trainer.is_global_zero, not trainer.is_global_zero):
            if trainer.world_size > 1:
                trainer.strategy.barrier()
            if writes:
                self._write_anew(paths, results)  # type: ignore[arg-type]
        if trainer.world_size > 1:
            trainer.strategy.barrier()
        if trainer.is_global_zero:
            self._remove_stale(trainer.world_size)
        self._write_skipped(trainer)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        """Adds new results."""
        results: list[Result] = pl_module.results  # type: ignore[assignment]
        new = results[self.written :]
        if self.folder is None or not new:
            return
        if self.earlier:
            self._write_anew(self.paths(trainer), results)
            return
        table, lines = self.paths(trainer)
        header = self.whole == 0
        with self._told(lines):
            append_lines(lines, json_lines(new))
        self.whole += len(new)
        with self._told(table):
            append_lines(table, csv_text(new, header))
        self.written = len(results)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Puts the results in the order of targets; joins the files of several devices."""
        if self.folder is None:
            return
        self._write_skipped(trainer)
        if trainer.is_global_zero:
            self._read(self._files(""), known_ids(trainer))
            self._write_anew(self._files(""), pl_module.results)  # type: ignore[arg-type]
        if trainer.world_size == 1:
            return
        trainer.strategy.barrier()
        for path in self.paths(trainer):
            path.unlink()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Says, once a run ends early, where its results are and how it goes on."""
        if self.folder is None or not trainer.is_global_zero or isinstance(exception, WriteError):
            return
        # Bad input that shows before anything is found would come back.
        if isinstance(exception, FuseError) and not self.whole:
            return
        say(*self._intact(), error=True)

    def paths(self, trainer: L.Trainer) -> tuple[Path, Path]:
        """The CSV and the JSON-lines file."""
        return self._files(f"-rank{trainer.global_rank}" if trainer.world_size > 1 else "")

    def _files(self, rank: str) -> tuple[Path, Path]:
        assert self.folder is not None
        return self.folder / f"prompts{rank}.csv", self.folder / f"prompts{rank}.jsonl"

    def _read(self, paths: tuple[Path, Path], ids: list[str] | None) -> None:
        """Finds the results of some targets that the files hold."""
        assert self.folder is not None
        files = result_files(self.folder)
        if ids is None and paths != self._files(""):
            # What the other devices have found is theirs.
            files = [path for path in files if path in paths]
        found = read_targets(files)
        self.whole = sum(map(len, found.values()))
        self.earlier = (
            found if ids is None else {name: found[name] for name in ids if name in found}
        )

    def _write_anew(self, paths: tuple[Path, Path], results: list[Result]) -> None:
        """Writes the results there are, before those of other targets that were found earlier."""
        # A search that was cut short does not take the place of one that came to its end.
        ended = {name for name, rows in self.earlier.items() if rows[0].finished}
        new = [result for result in results if result.finished or result.target not in ended]
        done = {result.target for result in new}
        earlier = {name: rows for name, rows in self.earlier.items() if name not in done}
        rows = [*new, *chain.from_iterable(earlier.values())]
        table, lines = paths
        with self._told(lines):
            replace_file(lines, json_lines(rows))
        self.whole = len(rows)
        with self._told(table):
            replace_file(table, csv_text(rows))
        self.written, self.earlier = len(results), earlier

    def _write_skipped(self, trainer: L.Trainer) -> None:
        """Names every target that was left out, and why; all devices ask together."""
        assert self.folder is not None
        data: Any = getattr(trainer, "datamodule", None)
        skipped: dict[str, str] = {}
        for share in gather(getattr(data, "skipped", {})):
            skipped |= share
        path = self.folder / "skipped.jsonl"
        if skipped and trainer.is_global_zero:
            rows = [{"target": name, "reason": reason} for name, reason in skipped.items()]
            lines = [visible(json.dumps(row, ensure_ascii=False)) for row in rows]
            with self._told(path):
                replace_file(path, "".join(f"{line}\n" for line in lines))

    def _remove_stale(self, ranks: int) -> None:
        """Removes files of devices that there no longer are; every device has read them."""
        assert self.folder is not None
        used = {
            path
            for rank in range(ranks if ranks > 1 else 0)
            for path in self._files(f"-rank{rank}")
        }
        for path in {*self.folder.glob("prompts-rank*")} - used:
            path.unlink()

    @contextmanager
    def _told(self, path: Path) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise WriteError(
                f"{str(path)!r} cannot be written ({error.strerror or error}); make room or allow "
                f"writing there; {'; '.join(self._intact())}"
            ) from error

    def _intact(self) -> list[str]:
        """Which results are on disk, and how the run goes on."""
        assert self.folder is not None
        lines = [f"{self.whole} prompts are in {visible(str(self.file))}"]
        if (self.folder / "config.yaml").is_file():
            folder = visible(shlex.quote(str(self.folder)))
            launched = "TORCHELASTIC_RUN_ID" in os.environ or "SLURM_JOB_ID" in os.environ
            how = ", by what started this run," if launched else ""
            lines.append(f"go on{how} with: fuse fit --resume {folder}")
        return lines
