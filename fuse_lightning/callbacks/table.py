"""Table of results on a terminal."""

from collections.abc import Sequence

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fuse_lightning.results.result import Result
from fuse_lightning.search import search_of
from fuse_lightning.utilities.tables import print_table
from fuse_lightning.utilities.terminal import printable, say

MOST = 40
"""Rows on a terminal; a log file gets them all."""


class PromptTable(Callback):
    """Table of the prompts, printed on the terminal at the end of a run.

    Args:
        enabled: Whether to print.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Prints target, prompt and losses."""
        results = search_of(pl_module).results
        if self.enabled and results and trainer.is_global_zero:
            print_results(results)


def print_results(results: Sequence[Result]) -> None:
    """Prints target, prompt and losses, with a column for each term.

    A terminal gets the best prompt of each target where all do not fit, and 40 rows at most.
    """
    shown = list(results)
    if len(shown) > MOST and Console().is_terminal:
        shown = [result for result in shown if result.rank == 1][:MOST]
    table = Table()
    for name in ("target", "prompt", "loss", *(results[0].losses if results else ())):
        table.add_column(Text(printable(name)))
    for result in shown:
        numbers = [result.loss, *result.losses.values()]
        cells = [result.target, result.prompt, *(f"{number:.3f}" for number in numbers)]
        table.add_row(*(Text(printable(cell)) for cell in cells))
    print_table(table)
    if left := len(results) - len(shown):
        say(f"{left} more of {len(results)} prompts are in the run's files")
