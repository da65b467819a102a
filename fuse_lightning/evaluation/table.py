"""Figures as files and as a table on the screen."""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from fuse_lightning.metrics import About
from fuse_lightning.results.export import safe_cell
from fuse_lightning.utilities.files import replace_file
from fuse_lightning.utilities.tables import print_table
from fuse_lightning.utilities.terminal import printable, visible

Figures = dict[str, dict[str, float]]
"""For each source of prompts its figures, by name."""


def names(figures: Figures) -> list[str]:
    """Names of all figures, in the order in which they come first.

    >>> names({"found": {"bleu": 0.5, "words": 3.0}, "constant": {"words": 2.0, "calm": 1.0}})
    ['bleu', 'words', 'calm']
    """
    return [*dict.fromkeys(name for row in figures.values() for name in row)]


def write_figures(
    folder: Path, figures: Figures, measures: Mapping[str, About], about: Mapping[str, Any]
) -> None:
    """Writes ``evaluation.json``, and ``evaluation.csv`` with a row for each source.

    Args:
        folder: Where.
        figures: The figures; what is no finite number becomes null, or an empty cell.
        measures: Direction, unit and digits of each figure, by name.
        about: What else the JSON file says.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = {
        source: {name: value if math.isfinite(value) else None for name, value in row.items()}
        for source, row in figures.items()
    }
    facts = {name: asdict(each) for name, each in measures.items()}
    whole = {**about, "measures": facts, "figures": rows}
    text = json.dumps(whole, indent=2, ensure_ascii=False)
    lines = [f"{visible(line)}\n" for line in text.split("\n")]
    replace_file(folder / "evaluation.json", "".join(lines))
    table = io.StringIO()
    columns = ["captions", *names(figures)]
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writerow({name: safe_cell(name) for name in columns})
    writer.writerows({"captions": safe_cell(source), **row} for source, row in rows.items())
    replace_file(folder / "evaluation.csv", table.getvalue())


def print_figures(figures: Figures, measures: Mapping[str, About]) -> None:
    """Prints a column for each source, as there are more figures than sources."""
    table = Table("", *figures)
    for column in table.columns[1:]:
        column.justify = "right"
    for name in names(figures):
        about = measures.get(name, About())
        cells = [shown(row.get(name), about) for row in figures.values()]
        row = (f"{name} {about.arrow}".rstrip(), *cells)
        table.add_row(*(Text(printable(cell)) for cell in row))
    print_table(table)


def shown(value: float | None, about: About) -> str:
    """A figure as a cell of a table, "" for none.

    >>> shown(12.3456, About()), shown(4.0, About(digits=0)), shown(None, About())
    ('12.346', '4', '')
    """
    return "" if value is None else f"{value:.{about.digits}f}"
