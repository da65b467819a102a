"""Targets from the rows of manifests and tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from fuse_lightning.data.manifest import read_manifest
from fuse_lightning.data.names import Root, address_name, clean
from fuse_lightning.data.pictures import Picture, RowPictures, Unreadable, located
from fuse_lightning.data.table import Table
from fuse_lightning.data.table_content import guessed_reader
from fuse_lightning.data.targets import Target
from fuse_lightning.data.web import Web
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.terminal import quoted

IMAGES = ("file_names", "file_name", "images", "image")
CAPTIONS = ("caption", "captions", "references")


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read; ``None`` stands for the usual names.

    Attributes:
        image: Pictures: paths, addresses or the bytes of picture files.
        sentiment: Wanted sentiment.
        caption: Reference captions.
        id: The target's id.
    """

    image: str | None = None
    sentiment: str | None = None
    caption: str | None = None
    id: str | None = None

    @property
    def images(self) -> tuple[str, ...]:
        """Names of picture columns; the first one with a value counts.

        >>> Columns().images
        ('file_names', 'file_name', 'images', 'image')
        >>> Columns(image="photo").images
        ('photo',)
        """
        return (self.image,) if self.image else IMAGES

    @property
    def captions(self) -> tuple[str, ...]:
        """Names of caption columns; all of them count."""
        return (self.caption,) if self.caption else CAPTIONS

    @property
    def names(self) -> tuple[str, str]:
        """Names of the id column and of the sentiment column."""
        return self.id or "id", self.sentiment or "sentiment"

    @property
    def text(self) -> tuple[str, ...]:
        """Name of the text column; ``None`` if pictures or captions use that column."""
        return tuple({"text"} - {self.image, self.caption})

    def check(self, there: Sequence[str], place: str) -> None:
        """Checks that the columns exist.

        Raises:
            FuseError: If a column is missing, or no column holds pictures.
        """
        known = ", ".join(there)
        for field in fields(self):
            name = getattr(self, field.name)
            if name is not None and name not in there:
                raise FuseError(
                    f"{place} has no column {name!r}; give data.{field.name}_column one of: {known}"
                )
        if not set(self.images) & set(there):
            guess = guessed_reader(there)
            raise FuseError(
                f"{place} has no column {' or '.join(IMAGES)}; {guess and f'{guess}, or '}give "
                f"data.image_column one of: {known}"
            )


def manifest_targets(path: Path, columns: Columns, web: Web, root: Root) -> list[Target]:
    """Targets of a JSON-lines, JSON or CSV manifest; its paths are relative to its own folder.

    Raises:
        FuseError: If it cannot be read, or a column is missing.
    """
    rows = read_manifest(path, (*columns.images, *columns.captions))
    place = f"table {quoted(path)}"
    reader = _Reader(place, root.name(path), path.parent, columns, web, root)
    there = dict.fromkeys(name for row in rows if isinstance(row, Mapping) for name in row if name)
    if there:
        columns.check([*there], reader.place)
    return reader.targets(rows)


def table_targets(
    table: Table, name: str, folder: Path | None, columns: Columns, web: Web, root: Root
) -> list[Target]:
    """Targets of a table; pictures in its cells are not read.

    Args:
        table: The table.
        name: Name of the table in the ids of its rows.
        folder: Folder that paths in it are relative to; ``None`` for no folder.
        columns: Names of the columns to read.
        web: Downloader of addresses.
        root: Folder that names of pictures are relative to.

    Raises:
        FuseError: If a column is missing, or there are no rows.
    """
    usual = [name for name in columns.images if name in table.stored]
    if columns.image is None and (usual or len(table.stored) == 1):
        columns = replace(columns, image=(usual or table.stored)[0])
    columns.check(table.columns, table.place)
    holder = table if columns.image in table.stored else None
    reader = _Reader(table.place, name, folder, columns, web, root, holder)
    wanted = (*columns.images, *columns.captions, *columns.names, *columns.text)
    light = [name for name in table.columns if name in wanted and name not in table.stored]
    rows = table.read(light)
    if not rows:
        raise FuseError(f"{table.place} is empty; it needs a row for each target")
    for column, names in table.labels.items():
        for row in rows:
            if isinstance(number := row.get(column), int):
                row[column] = names[number] if 0 <= number < len(names) else None
    return reader.targets(rows)


@dataclass(frozen=True)
class _Reader:
    """Converter of table rows into targets; a bad row becomes a target with an unreadable picture.

    ``table`` holds the pictures, unless the rows name files or addresses.
    """

    place: str
    name: str
    folder: Path | None
    columns: Columns
    web: Web
    root: Root
    table: Table | None = None

    def targets(self, rows: Sequence[Any]) -> list[Target]:
        """Targets of all rows; a repeated id gets the number of its row, from 1."""
        found = [self._row(number, row) for number, row in enumerate(rows)]
        taken = {target.id for target in found}
        seen: set[str] = set()
        for number, target in enumerate(found, start=1):
            if target.id in seen:
                while target.id in taken:
                    target.id = clean(f"{target.id}#{number}")
                taken.add(target.id)
            seen.add(target.id)
        return found

    def _row(self, number: int, row: Any) -> Target:
        place = f"row {number + 1} of {self.place}"
        try:
            return self._target(number, row, place)
        except FuseError as error:
            given = row.get(self.columns.names[0]) if isinstance(row, Mapping) else None
            given = given if isinstance(given, str | int) else ""
            name = self._number(number)
            return Target(str(given) or name, [Unreadable(str(error))], source=name)

    def _number(self, number: int) -> str:
        return f"{self.name}#{number + 1}"

    def _target(self, number: int, row: Any, place: str) -> Target:
        if not isinstance(row, Mapping):
            raise FuseError(f"{place} is no object with {self.columns.images[0]}")
        if None in row:
            raise FuseError(
                f"{place} has more cells than the header; quote cells that hold a comma"
            )
        pictures, names = self._pictures(number, row, place)
        references = []
        for key in self.columns.captions:
            texts = _texts(row.get(key) or [])
            if texts is None:
                raise FuseError(f"{place} has {key} {row[key]!r}; give a text or a list of texts")
            references += texts
        for key in self.columns.text:
            if not isinstance(row.get(key), str | None):
                raise FuseError(f"{place} has {key} {row[key]!r}; give a text")
        for key in self.columns.names:
            if not isinstance(row.get(key), str | int | None):
                raise FuseError(f"{place} has {key} {row[key]!r}; give a name")
        given, sentiment = (row.get(key) for key in self.columns.names)
        return Target(
            id=names[0] if given in (None, "") else str(given),
            pictures=pictures,
            sentiment=None if sentiment in (None, "", "none") else str(sentiment),
            text=next((row.get(key) for key in self.columns.text), None),
            references=references,
            metadata={key: value for key, value in row.items() if key not in self._read},
            source=", ".join(names),
        )

    @property
    def _read(self) -> set[str]:
        """Names of the columns that become fields of a target; the others are metadata."""
        known = self.columns
        return {*known.images, *known.captions, *known.names, *known.text}

    def _pictures(self, number: int, row: Any, place: str) -> tuple[list[Picture], list[str]]:
        """Pictures of a row and their names."""
        if self.table is not None:
            column = self.columns.image or ""
            held = RowPictures(self.table, number, column, place, self.folder, self.web)
            return [held], [self._number(number)]
        names = _texts(next((row[key] for key in self.columns.images if row.get(key)), None))
        if not names:
            wanted = self.columns.image or "file_name or file_names"
            raise FuseError(f"{place} names no picture; give {wanted} a path or a list of paths")
        pictures = [located(name, self.folder, self.web) for name in names]
        return pictures, [self._called(number, *each) for each in zip(names, pictures, strict=True)]

    def _called(self, number: int, name: str, picture: Picture) -> str:
        if isinstance(picture, Path):
            return self.root.name(picture)
        return address_name(name) if "://" in name else self._number(number)


def _texts(value: Any) -> list[str] | None:
    """List of a text or of several texts; ``None`` for anything else."""
    texts = [value] if isinstance(value, str) else value
    known = isinstance(texts, list) and all(isinstance(text, str) for text in texts)
    return texts if known else None
