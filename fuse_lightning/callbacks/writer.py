"""Writer of result files, which grow as targets finish."""

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeAlias

import lightning as L
from lightning.pytorch.callbacks import Callback

from fuse_lightning.errors import FuseError
from fuse_lightning.results.result import Result, read_targets, result_files
from fuse_lightning.results.result_files import FolderLostError, ResultFiles, WriteError
from fuse_lightning.results.run_folder import RunFolder, folder_of
from fuse_lightning.search import SearchModule, search_of
from fuse_lightning.search.lightning_glue import data_of
from fuse_lightning.utilities.files import replace_file
from fuse_lightning.utilities.processes import gather
from fuse_lightning.utilities.terminal import quoted, say, visible

Search: TypeAlias = SearchModule[Any]


class PromptWriter(Callback):
    """Callback that adds each finished target to ``prompts.csv`` and ``prompts.jsonl``.

    The files lie in the run's log folder, beside ``run.json`` and ``targets.jsonl``, which say
    what the run is of. A folder that holds results is refused, unless the run goes on there or
    ``overwrite`` is set, and one process works in it at a time.

    A run that goes on keeps all results there are; targets that have one are not searched again.
    Over several devices each writes files of its own, named by rank; at the end they become one,
    in the order of the targets. Where files have gone, or cannot be written, all results in memory
    are written anew, at last into a temporary folder.

    Targets that were left out because they cannot be read are in ``skipped.jsonl``.

    The JSON lines hold the exact text. In the CSV controls are written as escapes, and a text that
    a spreadsheet would compute stands behind a single quote.

    Args:
        enabled: Whether to write.
        overwrite: Whether to remove what an earlier run left in the folder.

    Raises:
        FuseError: If the folder is another run's or in use, or the files cannot be written, such
            as on a full disk.
    """

    def __init__(self, enabled: bool = True, overwrite: bool = False) -> None:
        self.enabled = enabled
        self.overwrite = overwrite
        self.files: ResultFiles | None = None
        self.kept: list[Result] = []
        """Results of earlier processes, which come before the module's."""
        self.cut: dict[str, list[Result]] = {}
        """Results of unfinished searches, by target."""
        self.skipped: dict[str, str] = {}
        """Reasons of targets that earlier processes left out."""

    @property
    def folder(self) -> RunFolder | None:
        """The run's folder; ``None`` if nothing is written, or if the folder was given up."""
        return None if self.files is None else self.files.folder

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Checks the folder of a resumed run, before a model is loaded."""
        module = search_of(pl_module)
        # The first device alone has taken the folder.
        tried: bool = trainer.fast_dev_run  # type: ignore[attr-defined]
        if stage == "fit" and self.enabled and module.goes_on and not tried:
            # All devices ask for the path, also where the first has taken the folder.
            path = folder_of(trainer)
            folder = module.folder or RunFolder(path)
            self._together(trainer, lambda: self._check(trainer, module, folder))

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Locks the folder, and starts both files with the earlier results."""
        module = search_of(pl_module)
        self.files, self.kept, self.cut, self.skipped = None, [], {}, {}
        if not self.enabled or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        path = folder_of(trainer)
        taken = module.folder
        folder = taken if taken is not None and taken.path == path else RunFolder(path)
        rank = trainer.global_rank if trainer.world_size > 1 else None
        files = self.files = ResultFiles(folder, rank)
        self._together(trainer, lambda: self._begin(trainer, module, files))
        self._write_skipped(trainer, module)

    def _together(self, trainer: L.Trainer, act: Callable[[], None]) -> None:
        """Runs a function on the first device; its error is raised on all of them."""
        error: Exception | None = None
        if trainer.is_global_zero:
            try:
                act()
            # Whatever it is, the others wait to hear of it.
            except Exception as found:
                error = found
        told = trainer.strategy.broadcast(None if error is None else str(error))
        if error is not None:
            raise error
        if told is not None:
            raise FuseError(told)

    def _begin(self, trainer: L.Trainer, module: Search, files: ResultFiles) -> None:
        """Takes the folder for this run, and reads the results in it."""
        folder = files.folder
        goes_on = module.goes_on or module.origin == folder.path.resolve()
        replaced = self.overwrite or module.overwrite
        if not goes_on and not replaced:
            folder.check_free()
        with files.told(folder.path):
            folder.take()
        if goes_on:
            self._check(trainer, module, folder, content=True)
            self.skipped = folder.skipped()
        elif replaced:
            folder.clear()
        found = read_targets(result_files(folder.path)) if goes_on else {}
        ended = {name: rows for name, rows in found.items() if rows[0].finished}
        for result in module.results:
            if result.target not in ended:
                found.setdefault(result.target, []).append(result)
        self.kept = [row for rows in found.values() for row in rows if row.finished]
        self.cut = {name: rows for name, rows in found.items() if not rows[0].finished}
        module.results = [*self.kept]
        self._write_anew(trainer, module)
        for path in {*folder.path.glob("prompts-rank*")} - {*files.own}:
            path.unlink()
        data = data_of(trainer)
        targets = folder.targets()
        targets |= {target.id: target.digest for target in (data.targets if data else [])}
        with files.told(folder.path):
            folder.describe(module.identity(), targets.items())

    def _check(
        self, trainer: L.Trainer, module: Search, folder: RunFolder, *, content: bool = False
    ) -> None:
        """Checks that a resumed run is the run of its folder."""
        what = f"the run in {quoted(folder.path)}"
        found = read_targets(result_files(folder.path))
        if known := folder.identity():
            module.check_identity(known, what, content=content)
        elif found:
            raise FuseError(
                f"{what} does not say what it is of, so that other results could be mixed in; "
                "start a new run with data.skip_finished"
            )
        data = data_of(trainer)
        if data is None:
            return
        now = {target.id for target in data.targets}
        # What cannot be read may have been mended since, or is broken now.
        skipped = {*folder.skipped(), *data.skipped}
        ended = {name for name, rows in found.items() if rows[0].finished} | {*data.finished}
        begun = {
            name: digest
            for name, digest in folder.targets().items()
            if name not in skipped and (name in now or name not in ended)
        }
        data.check_digests(begun, what)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, *args: Any
    ) -> None:
        """Adds new results."""
        module = search_of(pl_module)
        if self.files is None or len(module.results) == self.files.written:
            return
        self._hold(module)
        new = module.results[self.files.written :]
        if any(result.target in self.cut for result in new) or not self.files.there():
            self._write_anew(trainer, module)
            return
        try:
            self.files.add(module.results)
        finally:
            module.durable = self.files.written

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Sorts the results by target, and joins the files of several devices."""
        module = search_of(pl_module)
        if self.files is None:
            return
        self._hold(module)
        files = self.files
        self._write_skipped(trainer, module, end=True)
        if trainer.is_global_zero:
            files.write(files.joined, [*module.results, *self._left_cut(module)], module.results)
        files.written = module.durable = len(module.results)
        if trainer.world_size > 1:
            trainer.strategy.barrier()
            for path in files.own:
                path.unlink(missing_ok=True)

    def teardown(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Unlocks the folder."""
        if self.folder is not None:
            self.folder.leave()

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        """Writes, when a run ends early, where its results are and the command that resumes it."""
        files = self.files
        if files is None:
            return
        module = search_of(pl_module)
        if not files.sizes and trainer.is_global_zero:
            # The folder was refused: nothing in it is this run's.
            files.folder.leave()
            return
        # Bad input that shows before anything is found would come back.
        quiet = isinstance(exception, WriteError) or (
            isinstance(exception, FuseError) and not module.results
        )
        if trainer.is_global_zero and not quiet:
            if not files.there():
                with suppress(WriteError):
                    self._hold(module)
                    self._write_anew(trainer, module)
            say(*files.intact(module.results), error=True)
        files.folder.leave()

    def _hold(self, module: Search) -> None:
        """Checks that the folder is still this run's, and makes a deleted one again."""
        assert self.files is not None
        try:
            self.files.hold(module.results)
        except FolderLostError:
            # Nothing else is to be written there.
            self.files = None
            raise

    def _write_anew(self, trainer: L.Trainer, module: Search) -> None:
        """Writes all results of this device into new files."""
        files = self.files
        assert files is not None
        cut = self._left_cut(module)
        if trainer.world_size > 1:
            if trainer.is_global_zero:
                files.write(files.joined, [*self.kept, *cut], module.results)
            files.write(files.own, module.results[len(self.kept) :], module.results)
        else:
            files.write(files.own, [*module.results, *cut], module.results)
        files.written = module.durable = len(module.results)
        names = {result.target for result in cut}
        self.cut = {name: rows for name, rows in self.cut.items() if name in names}

    def _left_cut(self, module: Search) -> list[Result]:
        """Results of searches that were cut short and have no newer result."""
        new = {result.target for result in module.results}
        return [row for name, rows in self.cut.items() if name not in new for row in rows]

    def _write_skipped(self, trainer: L.Trainer, module: Search, *, end: bool = False) -> None:
        """Writes all skipped targets with the reasons; all devices must call it together."""
        assert self.files is not None
        data = data_of(trainer)
        done = {result.target for result in module.results}
        skipped = {name: why for name, why in self.skipped.items() if name not in done}
        for share in gather({} if data is None else data.skipped):
            skipped |= share
        path = self.files.folder.path / "skipped.jsonl"
        if not trainer.is_global_zero:
            return
        rows = [{"target": name, "reason": reason} for name, reason in skipped.items()]
        lines = [visible(json.dumps(row, ensure_ascii=False)) for row in rows]
        with self.files.told(path):
            if skipped:
                replace_file(path, "".join(f"{line}\n" for line in lines))
            elif end:
                path.unlink(missing_ok=True)
