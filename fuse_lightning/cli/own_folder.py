"""Lock of a run's folder, taken before the trainer writes a file."""

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L

from fuse_lightning.data import TargetDataModule
from fuse_lightning.errors import FuseError
from fuse_lightning.results.run_folder import RunFolder, folder_of
from fuse_lightning.search import SearchModule
from fuse_lightning.search.rank_checkpoints import read_checkpoint
from fuse_lightning.utilities.terminal import quoted

TRIES = 100


@dataclass
class OwnFolder:
    """A run's folder under the command line's options: new, resumed, replaced or only read.

    Attributes:
        goes_on: Folder of the run that goes on, if one does.
        overwrite: Whether what an earlier run left is removed.
        measured: Folder of the run whose prompts are measured or exported, if there is one.
        folder: The folder, once it is taken.
        trainer: The trainer, once it has the folder.
    """

    goes_on: Path | None = None
    overwrite: bool = False
    measured: Path | None = None
    folder: RunFolder | None = field(default=None, repr=False)
    trainer: L.Trainer | None = field(default=None, repr=False)

    def take(self, trainer: L.Trainer, module: SearchModule[Any], checkpoint: str | None) -> None:
        """Locks the run's folder on the first device; of numbered folders, the next free one.

        Args:
            trainer: The trainer, before it begins.
            module: The optimizer; it gets the folder and how to treat it.
            checkpoint: Checkpoint to resume from, if there is one.

        Raises:
            FuseError: If the folder is another run's, or in use.
        """
        module.goes_on, module.overwrite = self.goes_on is not None, self.overwrite
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        made = self.goes_on is None and _make_numbered(trainer)
        folder = RunFolder(folder_of(trainer))
        if self.goes_on is not None and folder.path.resolve() != self.goes_on:
            raise FuseError(
                f"the run goes on in {quoted(self.goes_on)}, but the loggers would write "
                f"into {quoted(folder.path)}; leave trainer.logger and default_root_dir as they are"
            )
        if self.goes_on is not None and not folder.identity():
            raise FuseError(
                f"folder {quoted(self.goes_on)} holds no run.json, so it is no run that can go on; "
                "give the folder of a run"
            )
        if any(getattr(each, "_sub_dir", None) for each in trainer.loggers):
            raise FuseError(
                "a logger has sub_dir, and a run could not go on from there; leave sub_dir out"
            )
        origin = None
        if checkpoint is not None and Path(checkpoint).is_file():
            origin = Path(read_checkpoint(Path(checkpoint))["run"])
        own = self.goes_on is not None or origin == folder.path.resolve()
        if not (own or self.overwrite):
            folder.check_free()
        folder.take(made=made)
        module.folder = self.folder = folder
        self.trainer = trainer
        if own:
            if known := folder.identity():
                what = f"the run in {quoted(folder.path)}"
                module.check_identity(known, what, content=False, trainer=trainer)
            folder.keep_metrics()
        elif self.overwrite:
            folder.clear(beside_too=True)

    def prepare(self, data: TargetDataModule) -> None:
        """Gives the data module the targets of the earlier run, and keeps the run's metrics."""
        run = self.goes_on or self.measured
        if run is None:
            return
        folder = RunFolder(run)
        data.begun = set(folder.targets())
        # Loggers of an evaluation would begin it anew.
        if self.measured is not None and os.environ.get("LOCAL_RANK", "0") == "0":
            folder.keep_metrics()

    def fail(self) -> None:
        """Removes the folder of a new run that failed before its first step."""
        if self.folder is not None and self.trainer is not None and not self.trainer.global_step:
            # A disk that fails is told by the error that there is.
            with suppress(OSError):
                self.folder.drop_set_up()

    def leave(self) -> None:
        """Unlocks the folder."""
        if self.folder is not None:
            self.folder.leave()


def _make_numbered(trainer: L.Trainer) -> bool:
    """Makes the next numbered folder of the loggers, and says whether there is one.

    Concurrent runs get different ones.
    """
    free = [each for each in trainer.loggers if getattr(each, "_version", 0) is None]
    # The first logger's folder is the run's. To ask for the folder chooses a number.
    if not free or trainer.loggers[0] not in free or trainer.log_dir is None:
        return False
    for _ in range(TRIES):
        # Loggers that share a folder choose their numbers before one of them makes it.
        versions = [each.version for each in free]
        with suppress(FileExistsError):
            Path(trainer.log_dir).mkdir(parents=True)
            return True
        for each, version in zip(free, versions, strict=True):
            if isinstance(version, int):
                each._version = version + 1  # type: ignore[attr-defined]
    return False
