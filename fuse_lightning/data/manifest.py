"""Targets from a manifest: the ``metadata.jsonl`` or ``.csv`` of an image folder."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError

NAMES = ("metadata.jsonl", "metadata.csv")


def read_manifest(path: Path) -> list[Target]:
    """Targets of a JSON-lines or CSV manifest.

    A row names its picture as ``file_name``, or several of one target as ``file_names``,
    relative to the manifest. ``id``, ``sentiment``, ``text``, ``caption`` and ``references`` are
    optional.

    Raises:
        FuseError: If the file or a row of it cannot be read.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        rows: list[Any] = (
            [*csv.DictReader(text.splitlines())]
            if path.suffix == ".csv"
            else [json.loads(line) for line in text.splitlines() if line.strip()]
        )
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise FuseError(f"manifest {str(path)!r} cannot be read: {error}") from error
    if not rows:
        raise FuseError(f"manifest {str(path)!r} is empty; it needs a row for each target")
    return [_target(path, number, row) for number, row in enumerate(rows, 1)]


def _target(path: Path, number: int, row: Any) -> Target:
    if not isinstance(row, Mapping):
        raise FuseError(f"row {number} of manifest {str(path)!r} is no object with file_name")
    names = row.get("file_names") or row.get("file_name") or row.get("image")
    if isinstance(names, str):
        names = [names]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise FuseError(
            f"row {number} of manifest {str(path)!r} names no picture; give file_name or file_names"
        )
    sentiment = row.get("sentiment")
    references = row.get("references") or []
    if isinstance(references, str):
        references = [references]
    caption = row.get("caption")
    return Target(
        id=str(row.get("id") or Path(names[0]).with_suffix("").as_posix()),
        paths=[path.parent / name for name in names],
        sentiment=None if sentiment in (None, "", "none") else str(sentiment),
        text=row.get("text"),
        references=[*([caption] if caption else []), *references],
    )
