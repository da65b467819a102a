"""References to the pictures of a target, which are read on demand."""

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
"""Name of a picture for errors, and its path or its bytes."""


class Stored(Protocol):
    """Interface of references to pictures outside files on disk."""

    def files(self) -> list[File]:
        """Files of the pictures, as paths or bytes; none of them is decoded.

        Raises:
            FuseError: If there is no picture.
        """


Picture = Path | Stored


def files(picture: Picture) -> list[File]:
    """Files of a reference.

    Raises:
        FuseError: If there is no picture.
    """
    return (
        [(quoted(shown(str(picture))), picture)] if isinstance(picture, Path) else picture.files()
    )


def content_digest(name: str, file: Path | bytes) -> str:
    """SHA-256 of a picture's file, in hex.

    Args:
        name: Name of the picture for errors.
        file: Path of the file, or its bytes.

    Raises:
        FuseError: If the file cannot be read.

    >>> content_digest("a", b"")[:12]
    'e3b0c44298fc'
    """
    if isinstance(file, bytes):
        return hashlib.sha256(file).hexdigest()
    try:
        with open_regular(file) as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise FuseError(f"image {name} cannot be read ({error}); check its path") from error


@dataclass(frozen=True)
class Unreadable:
    """Reference to a picture that cannot be read; holds the reason."""

    reason: str

    def files(self) -> list[File]:
        """Raises a FuseError with the reason."""
        raise FuseError(self.reason)


@dataclass(frozen=True)
class WebPicture:
    """Reference to a picture behind a web address."""

    address: str
    web: Web

    def files(self) -> list[File]:
        """The picture's file, downloaded on first use."""
        return [(quoted(shown(self.address)), self.web.file(self.address))]


@dataclass(frozen=True)
class RowPictures:
    """Reference to the pictures in one row of a table.

    Attributes:
        table: The table.
        row: Number of the row, from 0.
        column: Column of the pictures.
        place: Name of the row for errors.
        folder: Folder that paths are relative to; ``None`` for no folder.
        web: Downloader of addresses.
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
    """Reference for a name in a table: an address, or a path relative to ``folder``."""
    if "://" in name:
        return WebPicture(name, web)
    if folder is None and not Path(name).is_absolute():
        named = quoted(shown(name))
        return Unreadable(f"image {named} is a path, but the data set has no folder that it is in")
    return (folder or Path()) / name
