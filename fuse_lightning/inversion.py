"""``fuse invert``: prompts of pictures or of a text, nothing else on the screen."""

import argparse
import json
import sys
from collections.abc import Sequence
from itertools import groupby
from typing import NoReturn

from fuse_lightning.errors import FuseError
from fuse_lightning.results import Result
from fuse_lightning.terminal import visible


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise FuseError(f"{message}; see fuse invert --help")


def parser() -> argparse.ArgumentParser:
    """The command's options."""
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


def invert_command(words: Sequence[str]) -> None:
    """Runs the command.

    Raises:
        FuseError: If an option is wrong, or an image or a model cannot be read.
    """
    options = vars(parser().parse_args(words))
    as_json = options.pop("json")
    from fuse_lightning.presets import invert

    results = invert(**options, progress=sys.stdout.isatty() and sys.stderr.isatty())
    if as_json:
        for result in results:
            print(visible(json.dumps(result.to_dict(), ensure_ascii=False)))
        return
    for target, rows in groupby(results, key=lambda result: result.target):
        print(visible(target))
        for row in rows:
            print(visible(_line(row)))


def _line(result: Result) -> str:
    parts = ", ".join(f"{name} {loss:.3f}" for name, loss in result.losses.items())
    return f"  {result.loss:7.3f}  {result.prompt}  ({parts})"
