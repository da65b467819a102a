"""Folder of the texts of one run: written as they are found, and gone on with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from fuse_lightning.decoding.scored_text import ScoredText
from fuse_lightning.decoding.text_files import as_line, read_texts
from fuse_lightning.errors import FuseError
from fuse_lightning.results.result import TEXTS
from fuse_lightning.results.run_folder import IDENTITY, RunFolder
from fuse_lightning.utilities.files import append_lines
from fuse_lightning.utilities.identity import CONTENT, difference
from fuse_lightning.utilities.terminal import quoted

CONFIG = "config.yaml"
FOLDERS = Path("logs") / "decode"
"""Where the numbered folders of runs are made."""


class DecodingRun:
    """Folder of a run, in which one process at a time writes texts.

    ``texts.jsonl`` gets a line for each text as soon as it is found, ``run.json`` holds the options
    that the texts depend on, and ``config.yaml`` all options. It is a context, behind which the
    folder is free.

    Args:
        path: The folder; by default the next numbered one in ``logs/decode``.
        goes_on: Whether an earlier run goes on there.
        overwrite: Whether what an earlier run left there is removed.
        parent: Where the numbered folders are made.

    Raises:
        FuseError: If another run lies there, or another process works there; if a run is to go on
            and there is none.
    """

    def __init__(
        self,
        path: Path | None = None,
        *,
        goes_on: bool = False,
        overwrite: bool = False,
        parent: Path = FOLDERS,
    ) -> None:
        if goes_on and (path is None or not (path / CONFIG).is_file()):
            raise no_run(path, parent)
        self.path = next_folder(parent) if path is None else path
        self.goes_on = goes_on
        self.folder = RunFolder(self.path)
        if not (goes_on or overwrite):
            self.folder.check_free("another --out")
        self.folder.take(made=path is None)
        if overwrite and not goes_on:
            self.folder.clear(beside_too=True)
        self.count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Unlocks the folder, and removes it if it was new and an error came before any text."""
        if kind is not None and not (self.count or self.goes_on):
            for name in (CONFIG, IDENTITY):
                (self.path / name).unlink(missing_ok=True)
        self.folder.leave()

    def check(self, identity: Mapping[str, str]) -> None:
        """Checks that an earlier run, which goes on, had the same options.

        Args:
            identity: Options that texts depend on, each as a text; without those about content
                where models are not loaded yet.

        Raises:
            FuseError: If one differs, or what the run was is not known.
        """
        if not self.goes_on:
            return
        try:
            known = self.folder.identity()
        except FuseError as error:
            raise FuseError(f"{quoted(self.path / IDENTITY)} is broken; start a new run") from error
        # A run that was ended before its models were loaded has written neither this nor a text.
        if not known and not self._texts.is_file():
            return
        asked = {
            name: value
            for name, value in known.items()
            if name in identity or not name.startswith(CONTENT)
        }
        if found := difference(asked, identity):
            raise FuseError(
                f"the run in {quoted(self.path)} cannot go on with other options, which would mix "
                f"texts: {found}; leave the option as it was, or start a new run"
            )

    def begin(
        self,
        identity: Mapping[str, str],
        config: str,
        belongs: Callable[[Sequence[ScoredText]], None] = lambda _: None,
    ) -> list[ScoredText]:
        """Writes what the run is, and gives the texts that it has already.

        A line that a killed process has left unfinished is removed.

        Args:
            identity: All options that texts depend on.
            config: Content of ``config.yaml``.
            belongs: Check of the texts, which raises where one does not belong to the run. Then
                nothing is written.

        Raises:
            FuseError: If an earlier run had other options, or its texts cannot be read.
        """
        self.check(identity)
        texts = []
        if self._texts.is_file():
            _remove_cut_line(self._texts)
            texts = read_texts(self._texts)
            belongs(texts)
        try:
            self.folder.write(CONFIG, config)
            self.folder.write(IDENTITY, json.dumps(dict(identity), indent=1))
        except OSError as error:
            raise _unwritable(self.path, error) from error
        self.count = len(texts)
        return texts

    def add(self, text: ScoredText) -> None:
        """Appends a text to the file of texts.

        Raises:
            FuseError: If it cannot be written; the file then holds the texts before it.
        """
        try:
            self.folder.hold()
            append_lines(self._texts, as_line(text))
        except OSError as error:
            raise _unwritable(self._texts, error) from error
        self.count += 1

    @property
    def _texts(self) -> Path:
        return self.path / TEXTS


def _unwritable(path: Path, error: OSError) -> FuseError:
    return FuseError(
        f"{quoted(path)} cannot be written ({error.strerror or error}); make room or allow writing "
        "there"
    )


def no_run(path: Path | None, parent: Path = FOLDERS) -> FuseError:
    """Error about a folder in which no run can go on.

    Args:
        path: The folder.
        parent: Where the numbered folders of such runs are made.
    """
    return FuseError(
        f"--resume {quoted(path or '')} holds no {CONFIG}; give the folder of a run, such as "
        f"{parent / 'version_0'}"
    )


def foreign(path: Path) -> FuseError:
    """Error about a text that does not belong to the run in a folder."""
    return FuseError(
        f"{quoted(path / TEXTS)} holds a text twice, or one of another run; remove its line, or "
        "start a new run"
    )


def next_folder(parent: Path = FOLDERS) -> Path:
    """Makes the next numbered folder; concurrent runs get different ones.

    Raises:
        OSError: If it cannot be made.
    """
    parent.mkdir(parents=True, exist_ok=True)
    taken = [path.name.removeprefix("version_") for path in parent.glob("version_*")]
    number = max((int(name) for name in taken if name.isdecimal()), default=-1) + 1
    while True:
        path = parent / f"version_{number}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


def _remove_cut_line(path: Path) -> None:
    """Shortens a file to its whole lines."""
    with path.open("rb+") as file:
        end = file.seek(0, os.SEEK_END)
        block = 2**16
        while end:
            start = max(0, end - block)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        file.truncate(end)
