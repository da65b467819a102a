"""Handling of Ctrl-C and SIGTERM: one line, and the exit code that shells expect."""

import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from socket import socket, socketpair
from threading import Event, Thread, Timer, current_thread, main_thread
from types import FrameType
from typing import Any

from fuse_lightning.utilities.terminal import say

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
# Lightning's own exception, by name: importing it takes seconds.
REQUESTS = ("Terminated", "SIGTERMException")
PATIENCE = 3.0
"""Seconds after which a process ends that waits for another one, or for a disk, and hears nothing;
also how often a launched process looks for the one that has started it."""

AGAIN = 0.02
"""Seconds until Ctrl-C is tried again where it would do harm at once."""

TRIES = 100
"""Number of these tries: a writer that takes longer is not waited for."""

_noticed = {kind: Event() for kind in NAMES}
_tries: list[Timer] = []


class _Forks:
    """Guard that keeps signal handlers of a forked process from ending the command.

    It hears nothing before it has let go of what it shares with the command. Where no command is
    heard, forks are left alone.
    """

    watched = False
    mask: set[int | signal.Signals] | None = None

    @classmethod
    def before(cls) -> None:
        if cls.watched:
            cls.mask = signal.pthread_sigmask(signal.SIG_BLOCK, NAMES)

    @classmethod
    def in_parent(cls) -> None:
        if cls.mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, cls.mask)
            cls.mask = None

    @classmethod
    def in_child(cls) -> None:
        if cls.watched and current_thread() is main_thread():
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        cls.watched = False
        cls.in_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_Forks.before, after_in_parent=_Forks.in_parent, after_in_child=_Forks.in_child
    )


class Terminated(SystemExit):
    """Exit by SIGTERM, raised where no work has to be finished first."""


def notice(kind: signal.Signals = signal.SIGTERM) -> bool:
    """Records, in a signal handler, that this process will end by itself.

    Returns:
        Whether it is the first signal of its kind; others must not disturb what is tidied up.
    """
    first = not _noticed[kind].is_set()
    _noticed[kind].set()
    return first


@contextmanager
def heard() -> Iterator[None]:
    """Context that ends on Ctrl-C or SIGTERM with a line and 128 plus the signal's number.

    Of the processes that Lightning's launcher starts, one for each further device, the first one
    takes Ctrl-C alone; the others end with it.

    Raises:
        SystemExit: With 130 or 143, and with 0 in a launched process: the launcher would kill the
            first process for any other code, and that one's is what a shell sees.
    """
    if current_thread() is not main_thread():
        yield
        return
    for event in _noticed.values():
        event.clear()
    before = {kind: signal.getsignal(kind) for kind in NAMES}
    signal.signal(signal.SIGTERM, _terminate)
    if _is_launched():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Shells start what runs in the background deaf to it.
    elif before[signal.SIGINT] is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        with _watched():
            yield
    except BaseException as end:
        kind = interruption(end)
        if kind is None:
            raise
        _tell(kind)
        raise SystemExit(_code(kind)) from None
    finally:
        for signum, handler in before.items():
            # Python did not set what it does not know.
            if handler is not None:
                signal.signal(signum, handler)


def interruption(end: BaseException) -> signal.Signals | None:
    """Signal behind an exception, or ``None``."""
    if any(kind.__name__ in REQUESTS for kind in type(end).__mro__):
        return signal.SIGTERM
    # Lightning turns an interrupt into exit code 1; an import that is interrupted may raise
    # anything.
    chain = [end, end.__context__, end.__cause__]
    return signal.SIGINT if any(isinstance(each, KeyboardInterrupt) for each in chain) else None


def _terminate(*_: Any) -> None:
    # While a trainer works its own handler stands here, and ends the work between two steps.
    if notice() and signal.getsignal(signal.SIGTERM) is _terminate:
        raise Terminated


def _interrupt(_: int, frame: FrameType | None) -> None:
    if notice(signal.SIGINT):
        _tries.clear()
    if _in_tensorboard(frame) and len(_tries) < TRIES:
        again = Timer(AGAIN, os.kill, (os.getpid(), signal.SIGINT))
        again.daemon = True
        again.start()
        _tries.append(again)
        return
    raise KeyboardInterrupt


def _in_tensorboard(frame: FrameType | None) -> bool:
    """Whether TensorBoard's writer is at work.

    Interrupted while it hands something to its thread, it would leave a lock in a state in which
    that thread sleeps until its next flush, up to two minutes, and the process waits for it.
    """
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith("tensorboard.summary.writer"):
            return True
        frame = frame.f_back
    return False


def _tell(kind: signal.Signals) -> None:
    if not _is_launched():
        say(f"ended by {NAMES[kind]} before its work was done", error=True)


def _code(kind: signal.Signals) -> int:
    return 0 if _is_launched() else 128 + kind


def _is_launched() -> bool:
    """Whether Lightning started this process for a further device."""
    # torchrun starts all ranks alike, and says so.
    first = os.environ.get("LOCAL_RANK", "0") == "0" or "TORCHELASTIC_RUN_ID" in os.environ
    return "NODE_RANK" in os.environ and not first


@contextmanager
def _watched() -> Iterator[None]:
    """Context that handles signals which Python itself handles late, as in long library calls."""
    reader, writer = socketpair()
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    watch = Thread(target=_watch, args=(reader, os.getppid()), daemon=True)
    watch.start()
    _Forks.watched = True
    try:
        yield
    finally:
        _Forks.watched = False
        signal.set_wakeup_fd(before)
        writer.close()
        watch.join()
        reader.close()


def _watch(reader: socket, parent: int) -> None:
    """Waits for signals; in a launched process also for the end of its parent."""
    while True:
        if not select.select([reader], [], [], PATIENCE)[0]:
            if _is_launched() and os.getppid() != parent:
                os._exit(0)
            continue
        signums = reader.recv(1)
        if not signums:
            return
        kind = next((kind for kind in NAMES if kind == signums[0]), None)
        if kind is not None and not _noticed[kind].wait(PATIENCE):
            _tell(kind)
            os._exit(_code(kind))
