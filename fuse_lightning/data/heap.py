"""Memory that is free, given back to the system."""

import ctypes
import time

EVERY = 10.0
"""Seconds between two times; one takes up to a tenth of a second."""


class Heap:
    """The C library's heap.

    glibc keeps what is freed between what is not. Where tensors of many sizes come and go, as in a
    search, a process would seem to need half as much again after some hundred targets.
    """

    def __init__(self) -> None:
        try:
            self._trim = ctypes.CDLL(None).malloc_trim
        # Other libraries have no such function, and some systems no such library.
        except (AttributeError, OSError, TypeError):
            self._trim = None
        self._last = time.monotonic()

    def give_back(self) -> None:
        """Gives free pages back, unless it was done a moment ago."""
        if self._trim is not None and time.monotonic() - self._last >= EVERY:
            self._trim(0)
            self._last = time.monotonic()
