"""Sources of labelled examples: files, saved data sets, the hub and the zoo, as rows."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fuse_lightning.data import manifest, tables
from fuse_lightning.data.hub import HUB, hub_name
from fuse_lightning.data.manifest import read_manifest
from fuse_lightning.data.names import Root
from fuse_lightning.data.table import Table
from fuse_lightning.data.tables import hub_table, is_saved, open_table, saved_table
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.addresses import shown
from fuse_lightning.utilities.terminal import quoted

ZOO_TEXTS = Path(__file__).parents[1] / "zoo" / "texts"
ZOO = {f"zoo/{name}": ZOO_TEXTS / f"{name}.csv" for name in ("moods", "sums")}
"""Tables that come with the package, by the name of the source."""
KINDS = (*manifest.SUFFIXES, *tables.SUFFIXES)


@dataclass(frozen=True)
class Rows:
    """Rows of one source, whose columns are read when they are asked for.

    Attributes:
        name: Name of the source, which is the id of its target.
        source: The source, in one spelling.
        place: Name of the source in errors.
        columns: Names of all columns.
        read: Reader of some columns in all rows; a row that is broken may be no mapping.
        class_names: Class names of each column that holds only class numbers.
    """

    name: str
    source: str
    place: str
    columns: Sequence[str]
    read: Callable[[Sequence[str]], Sequence[Any]]
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class RowSources:
    """Opener of sources of labelled examples, with the options that they share.

    Attributes:
        root: Folder that relative sources, and names, are relative to.
        revision: Branch, tag or commit of data sets of the hub.
        stream: Rows to read of a data set of the hub; ``None`` for all.
    """

    root: Root
    revision: str | None = None
    stream: int | None = None

    def open(self, source: str, option: str) -> Rows:
        """Opens a source.

        Args:
            source: The source.
            option: Name of the option that gave it, for errors.

        Raises:
            FuseError: If the source is missing, empty or of another kind.
        """
        if source in ZOO:
            return _of_file(ZOO[source], source)
        if source.startswith(HUB):
            table = hub_table(source.removeprefix(HUB), self.revision, self.stream)
            return _of_table(table, hub_name(source), source)
        path = self.root.find(source, option)
        name = self.root.name(path)
        if os.path.isdir(path):
            if is_saved(path):
                return _of_table(saved_table(path), name)
            raise FuseError(
                f"folder {quoted(path)} was not written by save_to_disk; give {option} a file of "
                f"its own ({', '.join(KINDS)})"
            )
        if not os.path.exists(path):
            is_id = source.count("/") == 1 and not path.suffix
            hint = f", or give {HUB}{source} for a data set of the hub" if is_id else ""
            raise FuseError(f"source {quoted(shown(source))} does not exist; check {option}{hint}")
        if path.suffix.lower() not in KINDS:
            raise FuseError(
                f"source {quoted(path)} is no table by its ending; give {option} a file of "
                f"{', '.join(KINDS)}"
            )
        return _of_file(path, name)


def _of_file(path: Path, name: str) -> Rows:
    if path.suffix.lower() in tables.SUFFIXES:
        return _of_table(open_table(path), name)
    rows = read_manifest(path, ())
    # A cell too many has no name.
    there = dict.fromkeys(key for row in rows if isinstance(row, Mapping) for key in row if key)
    return Rows(name, name, f"table {quoted(path)}", [*there], lambda columns: rows)


def _of_table(table: Table, name: str, source: str = "") -> Rows:
    return Rows(name, source or name, table.place, table.columns, table.read, table.labels)
