"""``fuse invert``: prints prompts of pictures or of texts, and nothing else."""

import json
import logging
import sys
from collections.abc import Callable, Sequence

from fuse_lightning.cli.invert_options import parser
from fuse_lightning.results.result import Result
from fuse_lightning.utilities.terminal import CLOSED_PIPE, encoding, printable, say, visible


def command(words: Sequence[str]) -> None:
    """Runs the command and prints the prompts of each target as soon as they are found.

    Raises:
        FuseError: If an option is wrong, or an image or a model cannot be read.
        SystemExit: With 1 where a target was left out; with 141, as by a closed pipe, where nobody
            reads on.
    """
    options = vars(parser().parse_args(words[1:]))
    lines: Callable[[list[Result]], list[str]] = objects if options.pop("json") else Lines()
    # Help and wrong options need none of it, and it takes seconds.
    import fuse_lightning.inversion as inversion
    from fuse_lightning.cli.quiet import keep_lines_apart, quiet_transformers

    keep_lines_apart()
    quiet_transformers()
    # It says which files were written beside the pictures.
    logging.getLogger(inversion.__name__).setLevel(logging.INFO)
    left: list[str] = []

    def write(rows: list[Result]) -> None:
        if not say(*lines(rows)):
            raise SystemExit(CLOSED_PIPE)

    inversion.invert(
        **options | {"weights": dict(options.pop("weight"))},
        progress=sys.stderr.isatty(),
        found=write,
        skipped=lambda name, reason: left.append(name),
    )
    if left:
        raise SystemExit(1)


def objects(rows: list[Result]) -> list[str]:
    """One line of JSON per result; characters that the encoding lacks are escaped."""
    plain = not encoding().lower().startswith("utf")
    return [visible(json.dumps(row.to_dict(), ensure_ascii=plain)) for row in rows]


class Lines:
    """Lines of results for people: a target's name, and one line per result.

    Before the first joined prompt stands a line that says what is joined.
    """

    def __init__(self) -> None:
        self.targets: list[str] = []
        self.joined = False

    def __call__(self, rows: list[Result]) -> list[str]:
        """The lines of a target's results, or of a joined prompt with its losses for a target."""
        first = rows[0]
        if first.rank:
            self.targets.append(first.target)
            note = "" if first.finished else "  (cut short)"
            return [printable(first.target) + note, *(_line(row) for row in rows)]
        told = [] if self.joined else [self._told()]
        self.joined = True
        return [*told, *(f"{_line(row)}  for {printable(row.target)}" for row in rows)]

    def _told(self) -> str:
        names = printable(", ".join(self.targets))
        return f"the best prompts of {len(self.targets)} targets joined into one: {names}"


def _line(result: Result) -> str:
    parts = ", ".join(f"{name} {loss:.3f}" for name, loss in result.losses.items())
    return printable(f"  {result.loss:7.3f}  {result.prompt}  ({parts})")
