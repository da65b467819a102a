"""Where the pictures of a target lie: light references, read when they are asked for."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fuse_lightning.data.table import Table
from fuse_lightning.data.web import Web
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.addresses import shown
from fuse_lightning.utilities.regular import open_regular
from fuse_lightning.utilities.terminal import quoted

File = tuple[str, Path | bytes]
"""What to call a picture in errors, and its file or what is in it."""


class Stored(Protocol):
    """Pictures that are no files."""

    def files(self) -> list[File]:
        """The pictures as files, or as what is in files; none of them is decoded.

        Raises:
            FuseError: If there are none.
        """


Picture = Path | Stored


def files(picture: Picture) -> list[File]:
    """What a reference stands for.

    Raises:
        FuseError: If it stands for nothing.
    """
    return (
        [(quoted(shown(str(picture))), picture)] if isinstance(picture, Path) else picture.files()
    )


def content_digest(name: str, file: Path | bytes) -> str:
    """SHA-256 of what is in a picture's file, in hex.

    Args:
        name: What to call it in errors.
        file: The file, or what is in it.

    Raises:
        FuseError: If the file cannot be read.
    """
    if isinstance(file, bytes):
        return hashlib.sha256(file).hexdigest()
    try:
        with open_regular(file) as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise FuseError(f"image {name} cannot be read ({error}); check data.images") from error


@dataclass(frozen=True)
class Unreadable:
    """In place of a picture, why there is none."""

    reason: str

    def files(self) -> list[File]:
        """Raises the reason as a FuseError."""
        raise FuseError(self.reason)


@dataclass(frozen=True)
class WebPicture:
    """A picture behind an address."""

    address: str
    web: Web

    def files(self) -> list[File]:
        """The picture, fetched if it was not before."""
        return [(quoted(shown(self.address)), self.web.file(self.address))]


@dataclass(frozen=True)
class RowPictures:
    """The pictures that a row of a table holds.

    Attributes:
        table: The table.
        row: Number of the row, from 0.
        column: Column of the pictures.
        place: What to call the row.
        folder: What paths are relative to, if to anything.
        web: Fetches addresses.
    """

    table: Table
    row: int
    column: str
    place: str
    folder: Path | None
    web: Web

    def files(self) -> list[File]:
        """The pictures of the row."""
        cell = self.table.cell(self.row, self.column)
        cells = cell if isinstance(cell, list) else [cell]
        if not cells:
            raise FuseError(f"{self.place} has no picture in {self.column!r}")
        return [file for cell in cells for file in self._files(cell)]

    def _files(self, cell: Any) -> list[File]:
        found = cell if isinstance(cell, dict) else {"bytes": cell}
        if (content := found.get("bytes")) is not None:
            return [(f"in {self.place}", content)]
        if isinstance(path := found.get("path"), str):
            return files(located(path, self.folder, self.web))
        raise FuseError(f"{self.place} has no picture in {self.column!r}")


def located(name: str, folder: Path | None, web: Web) -> Picture:
    """What a name in a table stands for: a file, by its path from ``folder``, or an address."""
    if "://" in name:
        return WebPicture(name, web)
    if folder is None and not Path(name).is_absolute():
        named = quoted(shown(name))
        return Unreadable(f"image {named} is a path, but the data set has no folder that it is in")
    return (folder or Path()) / name
