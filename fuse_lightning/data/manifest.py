"""Reader of manifests, such as the ``metadata.jsonl`` of an image folder."""

import csv
import io
import json
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.regular import read_text
from fuse_lightning.utilities.terminal import quoted

SUFFIXES = (".jsonl", ".json", ".csv", ".tsv")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
"""What stands between the cells of a row."""
LARGEST = 2**28
"""Largest manifest in bytes; once parsed it takes many times as much memory."""


def read_manifest(path: Path, lists: Collection[str]) -> list[Any]:
    """Reads the rows of a JSON-lines, JSON, CSV or TSV manifest.

    A ``.json`` file may also hold JSON lines, an object with one list of rows, or CSV.

    Args:
        path: The file.
        lists: Columns that may hold lists, which are written as JSON in CSV.

    Raises:
        FuseError: If it is no manifest, cannot be read, is empty or larger than 256 MiB.
    """
    name = quoted(path)
    try:
        text = read_text(path, LARGEST)
        suffix = path.suffix.lower()
        tabular = suffix in DELIMITERS or (suffix == ".json" and _is_csv(text))
        rows = (
            _csv_rows(text, lists, DELIMITERS.get(suffix, ","))
            if tabular
            else _json_rows(text, suffix)
        )
    except (OSError, RecursionError, ValueError, csv.Error) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise FuseError(
            f"table {name} cannot be read: {reason}; give JSON lines, JSON, CSV or TSV of "
            f"{LARGEST // 2**20} MiB at most"
        ) from error
    if not rows:
        raise FuseError(f"table {name} is empty; it needs at least one row")
    return rows


def _is_csv(text: str) -> bool:
    r"""Whether a text that should be JSON begins like CSV: with a row of several names.

    >>> _is_csv("goal,target\nx,y"), _is_csv('["a", "b"]'), _is_csv("broken"), _is_csv("[1,")
    (True, False, False, False)
    """
    header = text.lstrip().partition("\n")[0]
    return "," in header and header[0] not in "[{"


def _csv_rows(text: str, lists: Collection[str], delimiter: str) -> list[Any]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    _check_header([*(reader.fieldnames or ())], delimiter)
    rows: list[Any] = [*reader]
    for row in rows:
        for column in lists:
            # A text that merely begins with a bracket stays as it is.
            with suppress(RecursionError, TypeError, ValueError):
                cell = json.loads(row.get(column))
                row[column] = cell if isinstance(cell, list) else row[column]
    return rows


def _check_header(columns: Sequence[str], delimiter: str) -> None:
    """Checks that columns are separated by the delimiter, and each has a name of its own.

    Raises:
        ValueError: If not.
    """
    others = ";\t|" if delimiter == "," else ";,|"
    if len(columns) == 1 and (found := [each for each in others if each in columns[0]]):
        wanted = "a comma" if delimiter == "," else "a tab"
        raise ValueError(f"its header has {found[0]!r} between the columns in place of {wanted}")
    if twice := [name for name in columns if name and columns.count(name) > 1]:
        raise ValueError(f"its header has the column {quoted(twice[0])} twice")


def _json_rows(text: str, suffix: str) -> list[Any]:
    if suffix == ".json" and (whole := _whole(text)) is not None:
        return whole
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number} is no JSON ({error.msg})") from error
    return rows


def _whole(text: str) -> list[Any] | None:
    """Rows of a text that is one JSON value; ``None`` if it holds JSON lines.

    Raises:
        ValueError: If it holds neither a list nor an object with one list of objects.
    """
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        lines = text.strip().split("\n", 1)
        with suppress(json.JSONDecodeError):
            # Each line is an object of its own.
            if len(lines) == 2 and isinstance(json.loads(lines[0]), dict):
                return None
        raise error
    if isinstance(found, dict):
        lists = [each for each in found.values() if isinstance(each, list) and each]
        tables = [each for each in lists if all(isinstance(row, dict) for row in each)]
        found = tables[0] if len(tables) == 1 else None
    if not isinstance(found, list):
        raise ValueError("it is no list of objects")
    return found
