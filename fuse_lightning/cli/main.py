"""The ``fuse`` command: runs the module of the named command; every error is one line."""

import sys
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import NoReturn

from fuse_lightning import __version__
from fuse_lightning.cli.help import COMMANDS, HELP
from fuse_lightning.cli.messages import explain
from fuse_lightning.cli.quiet import quiet
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities import early
from fuse_lightning.utilities.addresses import without_secrets
from fuse_lightning.utilities.collection import end_uncollected, imports_uncollected
from fuse_lightning.utilities.interrupts import heard
from fuse_lightning.utilities.terminal import CLOSED_PIPE, flushed, say, settle_streams, visible


def main(args: Sequence[str] | None = None) -> None:
    """Runs a command.

    Args:
        args: Words of the command line, by default those of the process.

    Raises:
        SystemExit: With 1 where a search ends with targets that have no prompt; with 2 and a line
            on bad input; with 130 or 143 after Ctrl-C or SIGTERM; with 141 where nobody reads
            what is printed.
    """
    settle_streams()
    with heard():
        try:
            _run(args)
        finally:
            early.drop()
            # What Python could not write later, it would say in a traceback.
            flushed(sys.stdout)


def _run(args: Sequence[str] | None) -> None:
    words = list(sys.argv[1:] if args is None else args)
    if not words or words[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    if words[0] == "--version":
        print(f"fuse-lightning {__version__}")
        return
    quiet()
    own_process = args is None
    if own_process:
        end_uncollected()
        if COMMANDS.get(words[0]) == "search":
            early.begin(words)
    try:
        # A program that calls this for a command may have garbage of its own.
        with imports_uncollected() if own_process else nullcontext():
            command = _command(words[0])
        command(words)
    except (ArgumentError, FuseError) as error:
        _fail(explain(error))
    except OSError as error:
        # A pipe may also be one of a library.
        if isinstance(error, BrokenPipeError) and not flushed(sys.stdout):
            raise SystemExit(CLOSED_PIPE) from None
        line = f"{error}; check the path, its permissions and the space left"
        _fail(explain(error, line))


def _fail(message: str) -> NoReturn:
    line = without_secrets(" ".join(message.splitlines()))
    say(f"error: {visible(line)}", error=True)
    raise SystemExit(2) from None


def _command(name: str) -> Callable[[list[str]], None]:
    """Imports the module of a command, which may load torch, and returns its function."""
    # An option in the first place is one of LightningCLI.
    module = "search" if name.startswith("-") else COMMANDS.get(name)
    if module is None:
        raise FuseError(f"unknown command {name!r}; there are: {', '.join(COMMANDS)}")
    command: Callable[[list[str]], None] = import_module(f"fuse_lightning.cli.{module}").command
    return command
