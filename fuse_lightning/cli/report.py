"""``fuse report``: the results of a run as one HTML file and one table."""

from collections.abc import Sequence

from fuse_lightning.cli.tools import run_tool
from fuse_lightning.report import report


def command(words: Sequence[str]) -> None:
    """Runs the command, which takes the run's folder without an option's name.

    Raises:
        FuseError: If the folder is not that of a run.
    """
    named = words[1:2] and not words[1].startswith("-")
    run_tool(report, words[0], [*(["--run"] if named else []), *words[1:]])
