"""Folder of a run: its lock, its objective and targets, and files that must survive."""

import json
import logging
import os
import secrets
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import lightning as L
from filelock import FileLock, Timeout

from fuse_lightning.errors import FuseError
from fuse_lightning.results.portable import FILES as CLASSIFYING
from fuse_lightning.results.portable_reasoning import FILES as REASONING
from fuse_lightning.results.result import TEXTS
from fuse_lightning.utilities.files import remove_leftovers, replace_file
from fuse_lightning.utilities.regular import read_text
from fuse_lightning.utilities.terminal import quoted, visible

PORTABLE = tuple(dict.fromkeys([*CLASSIFYING, *REASONING]))
RESULTS = (
    "prompts.jsonl",
    "prompts.csv",
    "prompts-rank*",
    "skipped.jsonl",
    "joined.jsonl",
    "bank*.tsv",
)
SWEEP = "sweep.json"
"""Rates of a property of texts that ``fuse decode`` writes."""
FINDINGS = "findings.json"
"""Differences of two models that ``fuse diff`` writes."""
WRITTEN = (
    *RESULTS,
    TEXTS,
    SWEEP,
    FINDINGS,
    "evaluation.json",
    "evaluation.csv",
    "verdict*.json*",
    "checkpoints/*.ckpt",
    "config.yaml",
    *PORTABLE,
    *(f"portable/*/{name}" for name in PORTABLE),
)
"""Files of a run that another run would replace or mistake for its own."""
EVENTS = "events.out.tfevents.*"
BESIDE = (EVENTS, f"rank*/{EVENTS}", "metrics*.csv", "report.html", "prompts.parquet")
"""Other files about a run; loggers replace them before a run begins."""
IDENTITY = "run.json"
TARGETS = "targets.jsonl"
LOCK, OWNER = ".lock", ".owner"
SET_UP = (LOCK, OWNER, EVENTS, f"rank*/{EVENTS}", "hparams.yaml", "config.yaml", IDENTITY, TARGETS)
"""Files that a run writes before its first step; it also begins empty files of results."""


logger = logging.getLogger(__name__)


def folder_of(trainer: L.Trainer) -> Path:
    """Folder of a trainer's run; all devices must call it together."""
    return Path(trainer.log_dir or trainer.default_root_dir)


class RunFolder:
    """Folder of a run, with a lock: one process at a time writes into it.

    ``run.json`` holds the objective of the run, and ``targets.jsonl`` the digest of each target's
    content. The process that works in the folder holds ``.lock``; ``.owner`` names it.

    Args:
        path: The folder, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: FileLock | None = None
        self._is_new = self._made = False
        self._own = ""
        self._kept: dict[str, tuple[str, bool]] = {}

    def check_free(
        self, elsewhere: str = "another trainer.logger.version or trainer.default_root_dir"
    ) -> None:
        """Checks that a new run may write here.

        Args:
            elsewhere: The option that names another folder.

        Raises:
            FuseError: If it would write over files of another run.
        """
        if found := self._written():
            place = quoted(self.path)
            names = ", ".join(visible(path.name) for path in found[:3])
            resume = f"--resume {place} goes on with that run, " if self._is_run() else ""
            raise FuseError(
                f"folder {place} holds {names} already, which a new run would write over; {resume}"
                f"--overwrite replaces what is there, {elsewhere} keeps it"
            )

    def clear(self, *, beside_too: bool = False) -> None:
        """Removes the files of an earlier run.

        Args:
            beside_too: Whether to remove the files of loggers and reports, too.
        """
        beside = [path for name in BESIDE for path in self.path.glob(name) if beside_too]
        for path in [*self._written(), *beside, self.path / IDENTITY, self.path / TARGETS]:
            path.unlink(missing_ok=True)

    def _written(self) -> list[Path]:
        return [path for name in WRITTEN for path in sorted(self.path.glob(name))]

    def _is_run(self) -> bool:
        return (self.path / IDENTITY).is_file() and (self.path / "config.yaml").is_file()

    def take(self, *, made: bool = False) -> None:
        """Locks the folder for this process until :meth:`leave` or the end of the process.

        Args:
            made: Whether this process has made the folder before.

        Raises:
            FuseError: If another process works in it.
            OSError: If the folder cannot be made.
        """
        if self._lock is not None:
            return
        self._made = made or not self.path.is_dir()
        self._is_new = self._made or not any(self.path.iterdir())
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / LOCK, timeout=0)
        try:
            lock.acquire()
        except NotImplementedError:
            logger.warning("folder %s lies where no file can be locked", quoted(self.path))
        except Timeout as error:
            raise FuseError(
                f"folder {quoted(self.path)} is in use by {self._owner()}; wait for "
                "it to end, or give another folder"
            ) from error
        self._lock = lock
        own = {"process": os.getpid(), "host": socket.gethostname(), "once": secrets.token_hex(8)}
        self._own = json.dumps(own)
        replace_file(self.path / OWNER, self._own)
        remove_leftovers(self.path)

    def hold(self) -> None:
        """Makes a deleted folder again, with its lock.

        Raises:
            FuseError: If another run has begun there since.
            OSError: If the folder cannot be made.
        """
        if self._lock is None or self._is_mine():
            return
        self._lock.release()
        self._lock = None
        self.take()
        if self._written():
            self.leave()
            raise FuseError(f"folder {quoted(self.path)} was deleted, and is another run's now")
        for name, (text, private) in self._kept.items():
            replace_file(self.path / name, text, private=private)

    def _is_mine(self) -> bool:
        with suppress(OSError, UnicodeDecodeError):
            return (self.path / OWNER).read_text() == self._own
        return False

    def write(self, name: str, text: str, *, private: bool = False) -> None:
        """Writes a file, and writes it again if the folder is deleted later."""
        replace_file(self.path / name, text, private=private)
        self._kept[name] = text, private

    def keep_metrics(self) -> None:
        """Renames the table of a CSV logger, which a new logger would delete."""
        path = self.path / "metrics.csv"
        numbered = (self.path / f"metrics-{number}.csv" for number in count(1))
        if path.is_file():
            path.rename(next(free for free in numbered if not free.exists()))

    def drop_set_up(self) -> None:
        """Removes what a run wrote before its first step, if the folder was new and holds no more.

        So a run that fails on its data or models leaves no folder, and takes no number.
        """
        if self._lock is None or not self._is_new:
            return
        files = [path for path in self.path.rglob("*") if not path.is_dir()]
        ours = {path for name in SET_UP for path in self.path.glob(name)}
        ours |= {
            path for name in RESULTS for path in self.path.glob(name) if not path.stat().st_size
        }
        if ours.issuperset(files):
            for path in ours - {self.path / LOCK}:
                path.unlink(missing_ok=True)
            for path in self.path.glob("rank*"):
                path.rmdir()

    def leave(self) -> None:
        """Unlocks the folder, and removes it if this process made it and it stayed empty."""
        if self._lock is None:
            return
        (self.path / OWNER).unlink(missing_ok=True)
        if self._is_new:
            with suppress(OSError):
                if [path.name for path in self.path.iterdir()] == [LOCK]:
                    (self.path / LOCK).unlink()
                    if self._made:
                        self.path.rmdir()
        self._lock.release()
        self._lock = None

    def _owner(self) -> str:
        try:
            own = json.loads((self.path / OWNER).read_bytes())
            return visible(f"process {own['process']} on {own['host']}")
        except (KeyError, OSError, TypeError, ValueError):
            return "another process"

    def describe(self, identity: Mapping[str, str], targets: Iterable[tuple[str, str]]) -> None:
        """Writes the objective and the targets of the run.

        Args:
            identity: Parts of the objective.
            targets: Id and content digest of each target.
        """
        lines = [json.dumps({"target": name, "digest": digest}) for name, digest in targets]
        self.write(TARGETS, "".join(f"{line}\n" for line in lines))
        self.write(IDENTITY, json.dumps(dict(identity), indent=1))

    def identity(self) -> dict[str, str]:
        """Identity of the run's objective; empty if no run wrote it.

        Raises:
            FuseError: If the file is broken.
        """
        values = self._read(IDENTITY)
        found = values[0] if values else {}
        if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
            raise self._broken(IDENTITY)
        return found

    def targets(self) -> dict[str, str]:
        """Content digest of each of the run's targets, by id.

        Raises:
            FuseError: If the file is broken.
        """
        try:
            return {str(row["target"]): str(row["digest"]) for row in self._read(TARGETS)}
        except (KeyError, TypeError) as error:
            raise self._broken(TARGETS) from error

    def skipped(self) -> dict[str, str]:
        """Reason of each skipped target, by id.

        Raises:
            FuseError: If the file is broken.
        """
        try:
            return {str(row["target"]): str(row["reason"]) for row in self._read("skipped.jsonl")}
        except (KeyError, TypeError) as error:
            raise self._broken("skipped.jsonl") from error

    def _read(self, name: str) -> list[Any]:
        path = self.path / name
        if not path.is_file():
            return []
        try:
            text = read_text(path)
            parts = text.splitlines() if name.endswith(".jsonl") else [text]
            return [json.loads(part) for part in parts]
        except (OSError, RecursionError, ValueError) as error:
            raise self._broken(name) from error

    def _broken(self, name: str) -> FuseError:
        path = quoted(self.path / name)
        return FuseError(
            f"{path} cannot be read, so that nobody knows what the run is of; start a new run with "
            "data.skip_finished"
        )
