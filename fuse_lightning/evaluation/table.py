"""Figures of captions as files and on the screen."""

import csv
import io
import json
import math
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from fuse_lightning.callbacks.table import print_table
from fuse_lightning.results.export import safe_cell
from fuse_lightning.utilities.files import replace_file
from fuse_lightning.utilities.terminal import printable, visible

Figures = dict[str, dict[str, float]]
"""For each source of captions its measures."""

HIGHER = ("cosine", "top1", "accuracy", "bleu", "rouge_l", "right", "distinct_1", "distinct_2")
PLAIN = ("targets", "words", "tokens")


def names(figures: Figures) -> list[str]:
    """All measures, in order."""
    return [*dict.fromkeys(name for row in figures.values() for name in row)]


def write_figures(folder: Path, figures: Figures, about: dict[str, Any]) -> None:
    """Writes ``evaluation.json``, and ``evaluation.csv`` with a row for each source.

    Args:
        folder: Where.
        figures: The figures; what is no finite number becomes null, or an empty cell.
        about: What else the JSON file says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = {
        source: {name: value if math.isfinite(value) else None for name, value in row.items()}
        for source, row in figures.items()
    }
    text = json.dumps({**about, "figures": rows}, indent=2, ensure_ascii=False)
    lines = [f"{visible(line)}\n" for line in text.split("\n")]
    replace_file(folder / "evaluation.json", "".join(lines))
    table = io.StringIO()
    columns = ["captions", *names(figures)]
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writerow({name: safe_cell(name) for name in columns})
    writer.writerows({"captions": safe_cell(source), **row} for source, row in rows.items())
    replace_file(folder / "evaluation.csv", table.getvalue())


def print_figures(figures: Figures) -> None:
    """Prints a column for each source, as there are more measures than sources."""
    table = Table("", *figures)
    for column in table.columns[1:]:
        column.justify = "right"
    for name in names(figures):
        cells = [_cell(name, row.get(name)) for row in figures.values()]
        table.add_row(*(Text(printable(cell)) for cell in (f"{name}{_arrow(name)}", *cells)))
    print_table(table)


def _arrow(name: str) -> str:
    """Which direction is better."""
    if name in PLAIN:
        return ""
    return " ↑" if name.endswith(HIGHER) else " ↓"


def _cell(name: str, value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if name == "targets" else f"{value:.3f}"
