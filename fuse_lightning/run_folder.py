"""The folder of a run: who works in it, what it is of, and what must not be written over."""

import json
import os
import socket
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from fuse_lightning.errors import FuseError
from fuse_lightning.files import remove_leftovers, replace_file
from fuse_lightning.terminal import visible

RESULTS = ("prompts.jsonl", "prompts.csv", "prompts-rank*", "skipped.jsonl", "joined.jsonl")
WRITTEN = (*RESULTS, "evaluation.json", "evaluation.csv", "checkpoints/*.ckpt", "config.yaml")
"""What a run leaves in its folder that another run would replace or mistake for its own."""
OF = "run.json"
TARGETS = "targets.jsonl"
LOCK, OWNER = ".lock", ".owner"


class RunFolder:
    """A run's folder.

    ``run.json`` says what objective the run is of, and ``targets.jsonl`` which content each target
    has; ``.lock`` is held by the process that works in the folder, and ``.owner`` names it.

    Args:
        path: The folder, which need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: FileLock | None = None
        self._is_new = False

    def check_free(self) -> None:
        """Checks that a new run may write here.

        Raises:
            FuseError: If something is there that it would write over.
        """
        if found := self._written():
            place = visible(repr(str(self.path)))
            names = ", ".join(visible(path.name) for path in found[:3])
            resume = f"--resume {place} goes on with that run, " if self._is_run() else ""
            raise FuseError(
                f"folder {place} holds {names} already, which a new run would write over; {resume}"
                "--overwrite replaces what is there, another trainer.logger.version or "
                "trainer.default_root_dir keeps it"
            )

    def clear(self) -> None:
        """Removes what an earlier run left."""
        for path in [*self._written(), self.path / OF, self.path / TARGETS]:
            path.unlink(missing_ok=True)

    def _written(self) -> list[Path]:
        return [path for name in WRITTEN for path in sorted(self.path.glob(name))]

    def _is_run(self) -> bool:
        return (self.path / OF).is_file() and (self.path / "config.yaml").is_file()

    def take(self) -> None:
        """Takes the folder for this process until :meth:`leave`, or until the process ends.

        Raises:
            FuseError: If another process works in it.
            OSError: If the folder cannot be made.
        """
        if self._lock is not None:
            return
        self._is_new = not self.path.is_dir() or not any(self.path.iterdir())
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise FuseError(
                f"folder {visible(repr(str(self.path)))} is in use by {self._owner()}; wait for "
                "it to end, or give another folder"
            ) from error
        self._lock = lock
        own = {"process": os.getpid(), "host": socket.gethostname()}
        replace_file(self.path / OWNER, json.dumps(own))
        remove_leftovers(self.path)

    def keep_metrics(self) -> None:
        """Puts a table of a CSV logger aside, which a new logger would remove."""
        path = self.path / "metrics.csv"
        numbered = (self.path / f"metrics-{number}.csv" for number in count(1))
        if path.is_file():
            path.rename(next(free for free in numbered if not free.exists()))

    def leave(self) -> None:
        """Lets others take the folder; one that was new and in which nothing came about is gone."""
        if self._lock is None:
            return
        (self.path / OWNER).unlink(missing_ok=True)
        if self._is_new:
            with suppress(OSError):
                if [path.name for path in self.path.iterdir()] == [LOCK]:
                    (self.path / LOCK).unlink()
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
        """Says what the run is of.

        Args:
            identity: Parts of the objective.
            targets: Id and content digest of each target.
        """
        lines = [json.dumps({"target": name, "digest": digest}) for name, digest in targets]
        replace_file(self.path / TARGETS, "".join(f"{line}\n" for line in lines))
        replace_file(self.path / OF, json.dumps(dict(identity), indent=1))

    def identity(self) -> dict[str, str]:
        """Parts of the objective that the run is of; none where a run never said.

        Raises:
            FuseError: If the file is broken.
        """
        values = self._read(OF)
        found = values[0] if values else {}
        if not isinstance(found, dict) or not all(isinstance(v, str) for v in found.values()):
            raise self._broken(OF)
        return found

    def targets(self) -> dict[str, str]:
        """Content digest of each target that the run was begun with, by id.

        Raises:
            FuseError: If the file is broken.
        """
        try:
            return {str(row["target"]): str(row["digest"]) for row in self._read(TARGETS)}
        except (KeyError, TypeError) as error:
            raise self._broken(TARGETS) from error

    def skipped(self) -> set[str]:
        """Ids of targets that were left out because they cannot be read."""
        rows = self._read("skipped.jsonl")
        return {str(row["target"]) for row in rows if isinstance(row, dict) and "target" in row}

    def _read(self, name: str) -> list[Any]:
        path = self.path / name
        if not path.is_file():
            return []
        try:
            text = path.read_text(encoding="utf-8")
            parts = text.splitlines() if name.endswith(".jsonl") else [text]
            return [json.loads(part) for part in parts]
        except (OSError, RecursionError, ValueError) as error:
            raise self._broken(name) from error

    def _broken(self, name: str) -> FuseError:
        path = visible(repr(str(self.path / name)))
        return FuseError(
            f"{path} cannot be read, so that nobody knows what the run is of; start a new run with "
            "data.skip_finished"
        )
