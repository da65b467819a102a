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

SUFFIXES = (".jsonl", ".json", ".csv")
LARGEST = 2**28
"""Largest manifest in bytes; once parsed it takes many times as much memory."""


def read_manifest(path: Path, lists: Collection[str]) -> list[Any]:
    """Reads the rows of a JSON-lines, JSON or CSV manifest.

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
        rows = _csv_rows(text, lists) if suffix == ".csv" else _json_rows(text, suffix)
    except (OSError, RecursionError, ValueError, csv.Error) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise FuseError(
            f"manifest {name} cannot be read: {reason}; give a JSON-lines, JSON or CSV file of "
            f"{LARGEST // 2**20} MiB at most"
        ) from error
    if not rows:
        raise FuseError(f"manifest {name} is empty; it needs at least one row")
    return rows


def _csv_rows(text: str, lists: Collection[str]) -> list[Any]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    _check_header([*(reader.fieldnames or ())])
    rows: list[Any] = [*reader]
    for row in rows:
        for column in lists:
            # A text that merely begins with a bracket stays as it is.
            with suppress(RecursionError, TypeError, ValueError):
                cell = json.loads(row.get(column))
                row[column] = cell if isinstance(cell, list) else row[column]
    return rows


def _check_header(columns: Sequence[str]) -> None:
    """Checks that columns are separated by commas, and each has a name of its own.

    Raises:
        ValueError: If not.
    """
    if len(columns) == 1 and (others := [each for each in ";\t|" if each in columns[0]]):
        raise ValueError(f"its header has {others[0]!r} between the columns in place of a comma")
    if twice := [name for name in columns if name and columns.count(name) > 1]:
        raise ValueError(f"its header has the column {quoted(twice[0])} twice")


def _json_rows(text: str, suffix: str) -> list[Any]:
    if suffix == ".json":
        rows = json.loads(text)
        if not isinstance(rows, list):
            raise ValueError("it is no list of objects")
        return rows
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number} is no JSON ({error.msg})") from error
    return rows
