"""The ``fuse`` command: runs the module of the named command; every error is one line."""

import sys
from argparse import ArgumentError
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib import import_module
from typing import NoReturn

from fuse_lightning import __version__
from fuse_lightning.cli.help import COMMANDS, HELP, HELP_WORD
from fuse_lightning.cli.messages import explain
from fuse_lightning.cli.named_configs import with_config_paths
from fuse_lightning.cli.quiet import quiet
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities import early
from fuse_lightning.utilities.addresses import without_secrets
from fuse_lightning.utilities.collection import end_uncollected, imports_uncollected
from fuse_lightning.utilities.interrupts import heard
from fuse_lightning.utilities.nearest import did_you_mean
from fuse_lightning.utilities.option_names import as_typed
from fuse_lightning.utilities.terminal import CLOSED_PIPE, flushed, say, settle_streams, visible

SEARCHES = ("check", "search", None)
"""Modules of the commands whose options belong to several classes."""


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
    if words[:1] == [HELP_WORD]:
        words = words if words[1:2] and words[1] not in COMMANDS else [*words[1:2], "--help"]
    if not words or words[0] in ("-h", "--help"):
        print(HELP, end="")
        return
    if words[0] in ("-V", "--version"):
        print(f"fuse-lightning {__version__}")
        return
    quiet()
    # A search has options of several classes, each with a place in front of its name.
    searches = COMMANDS.get(words[0]) in SEARCHES
    with nullcontext() if searches else as_typed():
        _run_command(words, own_process=args is None)


def _run_command(words: list[str], *, own_process: bool) -> None:
    """Runs the command that the words name; bad input ends the process with one line."""
    if own_process:
        end_uncollected()
    try:
        words = with_config_paths(words)
        if own_process and COMMANDS.get(words[0]) == "search":
            early.begin(words)
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
    if name == HELP_WORD:
        return _class_help
    # An option in the first place is one of LightningCLI.
    module = "search" if name.startswith("-") else COMMANDS.get(name)
    if module is None:
        meant = did_you_mean(name, COMMANDS)
        raise FuseError(f"unknown command {name!r}; {meant}there are: {', '.join(COMMANDS)}")
    command: Callable[[list[str]], None] = import_module(f"fuse_lightning.cli.{module}").command
    return command


def _class_help(words: list[str]) -> None:
    from fuse_lightning.cli.own_help import help_page

    print(help_page(words[1]), end="")
