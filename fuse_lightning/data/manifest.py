"""Targets from a manifest: the ``metadata.jsonl`` or ``.csv`` of an image folder."""

import csv
import io
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError

NAMES = ("metadata.jsonl", "metadata.csv")
LISTS = ("file_names", "references")


def read_manifest(path: Path) -> list[Target]:
    """Targets of a JSON-lines or CSV manifest.

    A row names its picture as ``file_name``, or several of one target as ``file_names``,
    relative to the manifest. ``id``, ``sentiment``, ``text``, ``caption`` and ``references`` are
    optional. In CSV a list is written as JSON.

    Raises:
        FuseError: If the file or a row of it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows = _csv_rows(text) if path.suffix == ".csv" else _json_rows(text)
    except (OSError, RecursionError, ValueError, csv.Error) as error:
        raise FuseError(f"manifest {str(path)!r} cannot be read: {error}") from error
    if not rows:
        raise FuseError(f"manifest {str(path)!r} is empty; it needs a row for each target")
    return [_target(path, number, row) for number, row in enumerate(rows, 1)]


def _csv_rows(text: str) -> list[Any]:
    rows: list[Any] = [*csv.DictReader(io.StringIO(text, newline=""), strict=True)]
    for row in rows:
        for column in LISTS:
            # A text that merely begins with a bracket stays as it is.
            with suppress(TypeError, json.JSONDecodeError):
                cell = json.loads(row.get(column))
                row[column] = cell if isinstance(cell, list) else row[column]
    return rows


def _json_rows(text: str) -> list[Any]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number} is no JSON ({error.msg})") from error
    return rows


def _target(path: Path, number: int, row: Any) -> Target:
    place = f"row {number} of manifest {str(path)!r}"
    if not isinstance(row, Mapping):
        raise FuseError(f"{place} is no object with file_name")
    if None in row:
        raise FuseError(f"{place} has more cells than the header; quote cells that hold a comma")
    names = _texts(row.get("file_names") or row.get("file_name") or row.get("image"))
    if not names:
        raise FuseError(f"{place} names no picture; give file_name or file_names")
    references = _texts(row.get("references") or [])
    if references is None:
        raise FuseError(f"{place} has references {row['references']!r}; give a list of texts")
    for key in ("caption", "text"):
        if not isinstance(row.get(key), str | None):
            raise FuseError(f"{place} has {key} {row[key]!r}; give a text")
    for key in ("id", "sentiment"):
        if not isinstance(row.get(key), str | int | None):
            raise FuseError(f"{place} has {key} {row[key]!r}; give a name")
    name, sentiment, caption = row.get("id"), row.get("sentiment"), row.get("caption")
    return Target(
        id=Path(names[0]).with_suffix("").as_posix() if name in (None, "") else str(name),
        paths=[path.parent / name for name in names],
        sentiment=None if sentiment in (None, "", "none") else str(sentiment),
        text=row.get("text"),
        references=[*([caption] if caption else []), *references],
    )


def _texts(value: Any) -> list[str] | None:
    """A text or a list of texts as a list; anything else as ``None``."""
    texts = [value] if isinstance(value, str) else value
    known = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    return texts if known else None
