"""What a process does beside reading: files that it writes, programs and hosts that it asks."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
PROGRAMS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn")
CHANGES = ("os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.truncate", "os.link", "os.symlink")
HERE = ("127.0.0.1", "localhost")

_watched: list[tuple[str, list[str]]] = []


@contextmanager
def watched(folder: Path) -> Iterator[list[str]]:
    """What happens outside of a folder, as long as the context lasts.

    Programs are not started and other hosts not reached: who tries is refused.
    """
    if not _watched:
        sys.addaudithook(_seen)
    found: list[str] = []
    _watched.append((os.path.realpath(folder) + os.sep, found))
    try:
        yield found
    finally:
        # A hook stays as long as the process: it is told that nobody watches.
        _watched[-1] = ("", found)


def _seen(event: str, args: tuple[Any, ...]) -> None:
    folder, found = _watched[-1]
    if not folder:
        return
    if event == "open":
        path, mode, flags = args
        if isinstance(path, str | bytes | os.PathLike) and _writes(mode, flags):
            _outside(os.fsdecode(path), folder, found, event)
    # What is named from an open folder, as when one is removed with all in it, is in that folder.
    elif event in CHANGES and (event == "os.truncate" or args[-1] == -1):
        for path in args:
            if isinstance(path, str | bytes | os.PathLike):
                _outside(os.fsdecode(path), folder, found, event)
    # The parser of options asks Python where its modules are.
    elif event in PROGRAMS and args[0] != sys.executable:
        found.append(f"{event} {args[0]!r}")
        raise OSError("no program is started here")
    elif event == "socket.getaddrinfo" and args[0] not in HERE:
        raise OSError("no host is looked up here")
    elif event == "socket.connect" and args[1][0] not in HERE:
        raise OSError("no host is reached here")


def _writes(mode: Any, flags: Any) -> bool:
    letters = isinstance(mode, str) and bool({*mode} & {*"wax+"})
    return letters or (isinstance(flags, int) and bool(flags & WRITES))


def _outside(name: str, folder: str, found: list[str], event: str) -> None:
    path = os.path.realpath(name)
    if not path.startswith(folder) and path != os.devnull:
        found.append(f"{event} {path}")
