"""Names of options in messages: as typed on a command line, or as arguments in Python."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_dashes: ContextVar[str] = ContextVar("dashes", default="")


def option(name: str) -> str:
    """Name of an option as the user gives it: ``--top`` on a command line, ``top`` in Python.

    >>> option("top")
    'top'
    >>> with as_typed():
    ...     option("top")
    '--top'
    """
    return f"{_dashes.get()}{name}"


@contextmanager
def as_typed() -> Iterator[None]:
    """Context in which messages name options with two dashes, for a command's own options."""
    before = _dashes.set("--")
    try:
        yield
    finally:
        _dashes.reset(before)
