"""File writes that survive kills and full disks."""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from fuse_lightning.errors import FuseError

BESIDE = ".new"
"""Ending of hidden files that are about to replace another file."""
# Not every system knows links, nor a difference between text and bytes.
_PLAIN = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _PLAIN
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | _PLAIN


def home_path(source: str, what: str) -> Path:
    """Path of a text in which a leading ``~`` stands for a home folder.

    Raises:
        FuseError: If that home folder does not exist; ``what`` names the option.

    >>> home_path("a/b.png", "data.images").as_posix()
    'a/b.png'
    """
    try:
        return Path(source).expanduser()
    except RuntimeError as error:
        raise FuseError(f"{what} {source!r}: {error}; write the whole path") from error


def cache_folder() -> Path:
    """Cache folder: ``$FUSE_LIGHTNING_CACHE``, else ``fuse_lightning`` in the user's cache.

    Raises:
        RuntimeError: If the user has no home folder.
    """
    if own := os.environ.get("FUSE_LIGHTNING_CACHE"):
        return Path(own)
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "fuse_lightning"
    return Path.home() / ".cache" / "fuse_lightning"


def replace_file(path: Path, content: str | bytes, *, private: bool = False) -> None:
    """Replaces a file atomically: readers find the old content or the new one.

    The new content is first written to a file beside it, whose name cannot be guessed: no link of
    that name can lead the content elsewhere. If ``path`` is a link, it is replaced.

    Args:
        path: The file.
        content: Its new content.
        private: Whether its owner alone may read it.

    Raises:
        OSError: If it cannot be written; the old content stays.
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}{BESIDE}")
    try:
        with os.fdopen(os.open(beside, _NEW, 0o600 if private else 0o666), "wb") as file:
            file.write(_encode(content))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def remove_leftovers(folder: Path) -> None:
    """Removes files that :func:`replace_file` left behind in killed processes.

    Only for a folder that no other process writes into.
    """
    for path in folder.glob(f".*{BESIDE}"):
        if re.fullmatch(rf"\..+\.[0-9a-f]{{16}}{re.escape(BESIDE)}", path.name):
            path.unlink(missing_ok=True)


def append_lines(path: Path, text: str) -> int:
    """Appends lines to a file, either all of them or none; follows no link.

    Returns:
        Size of the file in bytes.

    Raises:
        OSError: If they cannot be written; the file stays as it was.
    """
    data = _encode(text)
    with os.fdopen(os.open(path, _APPEND, 0o666), "ab", buffering=0) as file:
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
        return file.tell()


def _encode(content: str | bytes) -> bytes:
    # File names may hold bytes that are no text.
    return content.encode(errors="backslashreplace") if isinstance(content, str) else content
