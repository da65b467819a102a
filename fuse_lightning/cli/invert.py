"""``fuse invert``: prints prompts of pictures or of a text, and nothing else."""

import argparse
import json
import sys
from collections.abc import Sequence
from typing import NoReturn

import fuse_lightning.invert as inversion
from fuse_lightning.cli.quiet import keep_lines_apart, quiet_transformers
from fuse_lightning.errors import FuseError
from fuse_lightning.results.result import Result
from fuse_lightning.utilities.terminal import CLOSED_PIPE, encoding, printable, say, visible


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise FuseError(f"{message}; see fuse invert --help")


def parser() -> argparse.ArgumentParser:
    """Parser of the command's options."""
    words = _Parser(
        prog="fuse invert",
        description="Prints prompts of pictures or of a text, best first, with their losses.",
    )
    words.add_argument("images", nargs="*", metavar="IMAGE", help="picture, folder or glob pattern")
    words.add_argument("--text", help="text whose meaning the prompts are to have")
    words.add_argument(
        "--preset", choices=("caption", "clip", "style", "sentiment"), default="caption"
    )
    words.add_argument("--models", choices=("zoo", "hub"), default="zoo")
    words.add_argument("--sentiment", default="positive", help="label for --preset sentiment")
    words.add_argument("--top", type=int, default=5, help="prompts of each target")
    words.add_argument("--steps", type=int, help="steps of the search")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument(
        "--join", action="store_true", help="also join the best prompts of all targets into one"
    )
    words.add_argument("--json", action="store_true", help="one JSON object a prompt")
    return words


def command(words: Sequence[str]) -> None:
    """Runs the command and prints the prompts of each target as soon as they are found.

    Raises:
        FuseError: If an option is wrong, or an image or a model cannot be read.
        SystemExit: With 141, as by a closed pipe, where nobody reads on.
    """
    keep_lines_apart()
    quiet_transformers()
    options = vars(parser().parse_args(words[1:]))
    lines = _objects if options.pop("json") else _lines

    def write(rows: list[Result]) -> None:
        if not say(*lines(rows)):
            raise SystemExit(CLOSED_PIPE)

    inversion.invert(**options, progress=sys.stdout.isatty() and sys.stderr.isatty(), found=write)


def _objects(rows: list[Result]) -> list[str]:
    """One line of JSON per result; characters that the encoding lacks are escaped."""
    plain = not encoding().lower().startswith("utf")
    return [visible(json.dumps(row.to_dict(), ensure_ascii=plain)) for row in rows]


def _lines(rows: list[Result]) -> list[str]:
    """The target's name, and one line per result."""
    return [printable(rows[0].target), *(printable(_line(row)) for row in rows)]


def _line(result: Result) -> str:
    parts = ", ".join(f"{name} {loss:.3f}" for name, loss in result.losses.items())
    return f"  {result.loss:7.3f}  {result.prompt}  ({parts})"
