"""Garbage collection around imports and at a process's end, where it finds nothing."""

import atexit
import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def imports_uncollected() -> Iterator[None]:
    """Context for large imports, whose objects the collector never looks at again.

    While modules are imported the collector runs a hundred times over a million objects that all
    stay: a fourth of the time that the imports of a search take. Later, and at the end of the
    process, it would go through them again.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collects:
            gc.enable()


def end_uncollected() -> None:
    """Makes the process end without a search for garbage: its memory goes back as a whole."""
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
