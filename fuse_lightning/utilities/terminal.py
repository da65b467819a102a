"""Safe output of foreign text: prompts and file names may hold control characters."""

import json
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper
from typing import TextIO

HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Unicode categories of controls, direction marks, surrogates and line separators."""
JOINERS = "\u200c\u200d"
"""Zero-width joiners, which belong to words of some scripts and to emoji."""
LONGEST_NAME = 240
"""Longest name, in characters, that a message shows whole; most systems allow no longer ones."""
CLOSED_PIPE = 141
"""Exit code that shells expect of a command whose output nobody reads any more."""


def visible(text: str) -> str:
    r"""Text in one line, with escapes for characters that a terminal would obey or hide.

    Escapes are those of JSON, such as ``\u001b``, so that a JSON text keeps its value.

    >>> print(visible("a\x1b[31m red\nhouse"))
    a\u001b[31m red\nhouse
    """
    # Most texts have nothing to escape, and lines of JSON are long.
    return text if text.isprintable() else "".join(_escape(char) for char in text)


def _escape(char: str) -> str:
    hidden = unicodedata.category(char) in HIDDEN and char not in JOINERS
    return json.dumps(char)[1:-1] if hidden else char


def quoted(text: object) -> str:
    """Name in quotes for messages; a very long name loses its middle.

    >>> quoted("a b.png")
    "'a b.png'"
    """
    name = str(text)
    return repr(name if len(name) <= LONGEST_NAME else f"{name[:120]}…{name[-60:]}")


def encoding() -> str:
    """Encoding of standard output."""
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def printable(text: str) -> str:
    """Text as from :func:`visible`, with escapes for characters that the encoding lacks."""
    return visible(text).encode(encoding(), "backslashreplace").decode(encoding())


class _Voice:
    hushed = False


def hush() -> None:
    """Makes :func:`say` print errors alone, until the process ends."""
    _Voice.hushed = True


def say(*lines: str, error: bool = False) -> bool:
    """Prints lines at once, above a progress bar if there is one.

    Args:
        lines: The lines.
        error: Whether to write them to standard error.

    Returns:
        Whether anybody reads them: a pipe may have been closed.
    """
    if _Voice.hushed and not error:
        return True
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
    """Context that hides progress bars while something else is written."""
    # Where it was not imported, there is no bar.
    if "tqdm" not in sys.modules:
        yield
        return
    from tqdm import tqdm  # type: ignore[import-untyped]

    with tqdm.external_write_mode(file=stream):
        yield


def settle_streams() -> None:
    """Makes standard output and error escape characters that their encoding lacks."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def flushed(stream: TextIO) -> bool:
    """Flushes a stream; false if its reader is gone."""
    try:
        stream.flush()
    except BrokenPipeError:
        leave_pipe(stream)
        return False
    return True


def leave_pipe(stream: TextIO) -> None:
    """Discards whatever is still written to a pipe that nobody reads."""
    with suppress(OSError, ValueError):
        sink = os.open(os.devnull, os.O_WRONLY)
        os.dup2(sink, stream.fileno())
        os.close(sink)
