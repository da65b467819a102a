"""Safe reading of files of unknown origin: regular files only, up to a size.

Opening a named pipe may never end, and neither may reading a device.
"""

import io
import os
import stat
from pathlib import Path

LARGEST = 2**30
"""Default limit of a file's size, in bytes."""
KINDS = (
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "named pipe"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


def check_regular(path: str | Path, largest: int = LARGEST) -> None:
    """Checks that a path leads to a regular file of limited size.

    Args:
        path: The path; links are followed.
        largest: Bytes of the largest file that is taken.

    Raises:
        OSError: If it does not. Its text is the reason, without the path.

    >>> check_regular("/")
    Traceback (most recent call last):
    OSError: it is a folder, not a file
    """
    try:
        _check(os.stat(path), largest)
    except (OSError, ValueError) as error:
        raise _reason(error) from error


def open_regular(path: str | Path, largest: int = LARGEST) -> io.BufferedReader:
    """Opens a regular file of limited size to read its bytes; the caller closes it.

    Args:
        path: The path; links are followed.
        largest: Bytes of the largest file that is taken.

    Raises:
        OSError: If that fails. Its text is the reason, without the path.
    """
    # To open a device may already do something.
    check_regular(path, largest)
    try:
        # What stands there by now may be another thing.
        flags = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        handle = os.open(path, os.O_RDONLY | flags)
        try:
            _check(os.fstat(handle), largest)
            return open(handle, "rb")
        except BaseException:
            os.close(handle)
            raise
    except (OSError, ValueError) as error:
        raise _reason(error) from error


def read_regular(path: str | Path, largest: int = LARGEST) -> bytes:
    """Reads all bytes of a regular file.

    Raises:
        OSError: If it cannot be read, or is larger. Its text is the reason, without the path.
    """
    with open_regular(path, largest) as file:
        # Some files say no size, and some grow.
        content = file.read(largest + 1)
    if len(content) > largest:
        raise _too_large(largest)
    return content


def read_text(path: str | Path, largest: int = LARGEST, errors: str = "strict") -> str:
    """Reads a UTF-8 file, with or without a byte order mark; every line ends in a newline.

    Raises:
        OSError: If it cannot be read, or is larger. Its text is the reason, without the path.
        UnicodeDecodeError: If it is no UTF-8 and ``errors`` is "strict".
    """
    content = io.BytesIO(read_regular(path, largest))
    return io.TextIOWrapper(content, encoding="utf-8-sig", errors=errors).read()


def _check(status: os.stat_result, largest: int) -> None:
    for is_kind, kind in KINDS:
        if is_kind(status.st_mode):
            raise OSError(f"it is a {kind}, not a file")
    if status.st_size > largest:
        raise _too_large(largest)


def _too_large(largest: int) -> OSError:
    return OSError(f"it is larger than {largest / 2**20:g} MiB")


def _reason(error: OSError | ValueError) -> OSError:
    """Copy of an error without the path, which may be of any length."""
    kind = type(error) if isinstance(error, OSError) else OSError
    return kind(getattr(error, "strerror", None) or str(error))
