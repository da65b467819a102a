"""Options of ``fuse decode`` and ``fuse diff``: how they are read, and paths that stay the same."""

from __future__ import annotations

from argparse import ArgumentError
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from jsonargparse import Namespace

from fuse_lightning.cli.config_files import UNREADABLE, about_config, check_configs
from fuse_lightning.cli.messages import explain
from fuse_lightning.cli.texts import TextParser, plain
from fuse_lightning.decoding.prompt_sources import PromptSources
from fuse_lightning.errors import FuseError


def understood(reader: TextParser, words: Sequence[str]) -> Namespace:
    """Options of a command line, as plain values.

    Args:
        reader: The parser; its ``prog`` is the name of the command.
        words: The words behind the command, each option joined to its value.

    Raises:
        FuseError: If a word or a file of options cannot be understood.
        SystemExit: Behind ``--help`` and ``--print_config``, which print.
    """
    try:
        check_configs(words)
    except FuseError as error:
        raise FuseError(_named(reader, str(error))) from error
    try:
        found: Namespace = plain(reader.parse_args(words))
    except ArgumentError as error:
        line = about_config(error.message, words) or explain(error) + _meant(error.message, reader)
        raise FuseError(_named(reader, line)) from error
    except (RecursionError, ValueError) as error:
        line = about_config(f"{UNREADABLE}{error}", words) or explain(error)
        raise FuseError(_named(reader, line)) from error
    return found


def absolute(place: str | None) -> str | None:
    """The absolute path of a file or folder; any other text unchanged."""
    if not place or place.startswith("zoo/"):
        return place
    try:
        return str(Path(place).resolve()) if Path(place).exists() else place
    # A text may be no name that a file can have.
    except (OSError, ValueError):
        return place


def absolute_prompts(prompts: Sequence[str], sources: PromptSources) -> list[str]:
    """Prompts as they were given, those that name a file by its absolute path."""
    return [absolute(each) or each if sources.is_file(each) else each for each in prompts]


def _meant(message: str, reader: TextParser) -> str:
    """A guess at the option that an unknown one stands for; empty for none."""
    _, _, words = message.partition("unrecognized arguments: ")
    if not words or not words.startswith("--"):
        return ""
    known = {option for action in reader._actions for option in action.option_strings}
    found = get_close_matches(words.partition("=")[0], known, 1, cutoff=0.8)
    return f"; did you mean {found[0]}?" if found else ""


def _named(reader: TextParser, line: str) -> str:
    return line.replace(
        "a YAML file with model and data", f"a YAML file with options of {reader.prog}"
    )
