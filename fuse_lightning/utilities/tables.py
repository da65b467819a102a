"""Tables on a terminal."""

import io

from rich.box import ASCII
from rich.console import Console
from rich.table import Table

from fuse_lightning.utilities.terminal import encoding, say


def print_table(table: Table) -> None:
    """Prints a table as wide as the terminal, or 160 characters where there is none.

    Its lines are ASCII where standard output cannot be trusted to write others.
    """
    stream = io.StringIO()
    console = Console()
    width = console.width if console.is_terminal else 160
    if not encoding().lower().startswith("utf"):
        table.box = ASCII
    Console(file=stream, width=width, force_terminal=console.is_terminal).print(table)
    say(stream.getvalue().removesuffix("\n"))
