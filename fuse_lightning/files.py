"""Paths as people write them; files that are whole whenever a process is killed or a disk full."""

import os
from contextlib import suppress
from pathlib import Path

from fuse_lightning.errors import FuseError


def home_path(source: str, what: str) -> Path:
    """A path that may begin with ``~``, a home folder.

    Raises:
        FuseError: If there is no such home; ``what`` names the option.
    """
    try:
        return Path(source).expanduser()
    except RuntimeError as error:
        raise FuseError(f"{what} {source!r}: {error}; write the whole path") from error


def replace_file(path: Path, content: str | bytes) -> None:
    """Writes a file anew: whoever reads it finds the old content or the new one.

    Raises:
        OSError: If it cannot be written; the old content stays.
    """
    beside = path.with_name(f".{path.name}.new")
    try:
        with beside.open("wb") as file:
            file.write(_encode(content))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def append_lines(path: Path, text: str) -> None:
    """Adds whole lines to a file, all of them or none.

    Raises:
        OSError: If they cannot be written; the file is as it was.
    """
    data = _encode(text)
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            while data:
                data = data[file.write(data) :]
            os.fsync(file.fileno())
        # Not where somebody interrupts: a line cut short is read as none, a whole one is kept.
        except OSError:
            with suppress(OSError):
                os.ftruncate(file.fileno(), size)
            raise


def _encode(content: str | bytes) -> bytes:
    # File names may hold bytes that are no text.
    return content.encode(errors="backslashreplace") if isinstance(content, str) else content
