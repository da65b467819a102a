"""Text of others on a terminal: a prompt or a file name may hold anything."""

import json
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TextIO

HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Controls, direction marks, halves of characters, and separators that end a line."""
JOINERS = "\u200c\u200d"
"""Part of words in some scripts, and of emoji."""
LONGEST_NAME = 240
"""Characters of a name that a message shows whole; folders have shorter ones in most systems."""
CLOSED_PIPE = 141
"""Exit code of a command whose output nobody reads any more, as shells know it."""


def visible(text: str) -> str:
    r"""The text in one line, with what a terminal would obey or hide written as an escape.

    Escapes are those of JSON, such as ``\u001b``, so that a JSON text stays the same value.
    """
    return "".join(_escape(char) for char in text)


def _escape(char: str) -> str:
    hidden = unicodedata.category(char) in HIDDEN and char not in JOINERS
    return json.dumps(char)[1:-1] if hidden else char


def quoted(text: object) -> str:
    """A name in quotes; of a very long one the beginning and the end."""
    name = str(text)
    return repr(name if len(name) <= LONGEST_NAME else f"{name[:120]}…{name[-60:]}")


def encoding() -> str:
    """What standard output is encoded in."""
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def printable(text: str) -> str:
    """The text as :func:`visible` gives it, with escapes for what standard output cannot write."""
    return visible(text).encode(encoding(), "backslashreplace").decode(encoding())


def say(*lines: str, error: bool = False) -> bool:
    """Writes lines at once, above a progress bar that may stand there.

    Args:
        lines: The lines.
        error: Whether to write them to standard error.

    Returns:
        Whether anybody reads them: a pipe may have been closed.
    """
    stream = sys.stderr if error else sys.stdout
    try:
        with bars_away(stream):
            print(*lines, sep="\n", file=stream, flush=True)
    except BrokenPipeError:
        leave_pipe(stream)
        return False
    return True


@contextmanager
def bars_away(stream: TextIO) -> Iterator[None]:
    """No progress bar stands in the line where something else is written."""
    # Where it was not imported, there is no bar.
    if "tqdm" not in sys.modules:
        yield
        return
    from tqdm import tqdm  # type: ignore[import-untyped]

    with tqdm.external_write_mode(file=stream):
        yield


def settle_streams() -> None:
    """Lets standard output and error write any text, with escapes where the encoding has none."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flushed(stream: TextIO) -> bool:
    """Writes out what is still held back; false where the reader has gone."""
    try:
        stream.flush()
    except BrokenPipeError:
        leave_pipe(stream)
        return False
    return True


def leave_pipe(stream: TextIO) -> None:
    """Drops what is still written to a pipe that nobody reads."""
    with suppress(OSError, ValueError):
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, stream.fileno())
        os.close(sink)
