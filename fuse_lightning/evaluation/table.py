"""Figures in files and as a table on the screen."""

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
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
"""Figures by name, for each source of prompts."""
FILE = "evaluation.json"
NONE = "-"
"""Sign of a figure that a source of prompts does not have."""


@dataclass(frozen=True)
class Written:
    """Content of an evaluation's file.

    Attributes:
        figures: The figures; NaN for what was no finite number.
        measures: Direction, unit and digits of each figure, by name.
        notes: Notes about floors by name, such as the text of the constant one.
    """

    figures: Figures
    measures: dict[str, About]
    notes: dict[str, str]


def names(figures: Figures) -> list[str]:
    """Names of all figures, in the order of their first occurrence.

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
        about: Further content of the JSON file.
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
    replace_file(folder / FILE, "".join(lines))
    table = io.StringIO()
    columns = ["captions", *names(figures)]
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writerow({name: safe_cell(name) for name in columns})
    writer.writerows({"captions": safe_cell(source), **row} for source, row in rows.items())
    replace_file(folder / "evaluation.csv", table.getvalue())


def read_figures(text: str) -> Written:
    """Reads the content of ``evaluation.json``.

    Raises:
        ValueError: If it is none; of a figure whose direction nobody wrote nothing is known.

    >>> read_figures('{"constant": "a star", "figures": {"found": {"bleu": null}}}')
    Written(figures={'found': {'bleu': nan}}, measures={}, notes={'constant': 'a star'})
    """
    try:
        whole = json.loads(text)
        figures = {
            str(source): {str(name): _number(value) for name, value in row.items()}
            for source, row in whole["figures"].items()
        }
        facts = whole.get("measures", {})
        measures = {name: _about(each) for name, each in facts.items()}
        notes = {name: value for name, value in whole.items() if isinstance(value, str)}
    except (AttributeError, KeyError, RecursionError, TypeError) as error:
        raise ValueError(f"it holds no figures: {error!r}") from error
    return Written(figures, measures, notes)


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return float(value)


def _about(facts: Any) -> About:
    about = About(**facts)
    if about.higher_is_better not in (True, False, None) or not isinstance(about.unit, str):
        raise TypeError(f"{facts!r} describes no figure")
    if about.digits not in range(10):
        raise TypeError(f"{about.digits!r} is no number of digits")
    return about


def print_figures(
    figures: Figures, measures: Mapping[str, About], caption: str | None = None
) -> None:
    """Prints figures as a table with a row for each figure and a column for each source.

    Args:
        figures: The figures.
        measures: Direction, unit and digits of each figure, by name.
        caption: Line below the table.
    """
    below = None if caption is None else Text(printable(caption))
    table = Table("", *figures, caption=below, caption_justify="left")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in names(figures):
        about = measures.get(name, About())
        cells = [shown(row.get(name), about) for row in figures.values()]
        row = (title(name, about), *cells)
        table.add_row(*(Text(printable(cell)) for cell in row))
    print_table(table)


def shown(value: float | None, about: About) -> str:
    """Text of a figure in a table; :data:`NONE` if there is no figure.

    >>> shown(12.3456, About()), shown(4.0, About(digits=0)), shown(None, About())
    ('12.346', '4', '-')
    """
    if value is None or not math.isfinite(value):
        return NONE
    return f"{value:.{about.digits}f}"


def title(name: str, about: About) -> str:
    """Name of a figure with an arrow in its better direction.

    >>> title("fluency", About(False)), title("words", About())
    ('fluency ↓', 'words')
    """
    return f"{name} {about.arrow}".rstrip()
