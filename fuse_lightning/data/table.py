"""Base of tables that are read by cells or columns."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.terminal import quoted


class Table(ABC):
    """Base of tables: reads whole columns, and single cells such as pictures.

    Args:
        schema: The Arrow schema.
        place: Name of the table for errors.

    Attributes:
        columns: Names of all columns.
        stored: Names of the columns that hold picture files, as bytes or with their paths.
        labels: Class names of each column that holds only class numbers.

    Raises:
        FuseError: If a name is not UTF-8.
    """

    def __init__(self, schema: Any, place: str) -> None:
        self.place = place
        with reading(place):
            self.columns: list[str] = schema.names
            self.stored = [field.name for field in schema if _holds_pictures(field.type)]
        self.labels = _class_names(schema)

    def read(self, columns: Sequence[str]) -> list[dict[str, Any]]:
        """Values of some columns in all rows."""
        with reading(self.place):
            return self._read(list(columns))

    def cell(self, row: int, column: str) -> Any:
        """Value of one cell; a picture is the bytes of its file, or an object that holds them."""
        with reading(self.place):
            return self._cell(row, column)

    @abstractmethod
    def _read(self, columns: list[str]) -> list[dict[str, Any]]: ...

    @abstractmethod
    def _cell(self, row: int, column: str) -> Any: ...


def _class_names(schema: Any) -> dict[str, list[str]]:
    names = {}
    with suppress(AttributeError, KeyError, TypeError, ValueError):
        features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
        for column, feature in features.items():
            if isinstance(feature, dict) and feature.get("_type") == "ClassLabel":
                names[column] = list(feature["names"])
    return names


def _holds_pictures(kind: Any) -> bool:
    import pyarrow.types as kinds

    if kinds.is_list(kind) or kinds.is_large_list(kind):
        kind = kind.value_type
    if kinds.is_struct(kind) and (place := kind.get_field_index("bytes")) >= 0:
        kind = kind.field(place).type
        if kinds.is_null(kind):
            return True
    return bool(kinds.is_binary(kind) or kinds.is_large_binary(kind))


def sound(part: Any) -> Any:
    """Part of an Arrow table with checked offsets, which Arrow itself would trust.

    Raises:
        pyarrow.ArrowInvalid: If an offset lies outside the data.
    """
    part.validate(full=True)
    return part


def named(path: Path) -> str:
    """Name of a table in error messages.

    >>> named(Path("a.parquet"))
    "data set 'a.parquet'"
    """
    return f"data set {quoted(path)}"


@contextmanager
def reading(place: str) -> Iterator[None]:
    """Context that turns any error into one FuseError with the table's name.

    Raises:
        FuseError: If the block raises anything.
    """
    try:
        yield
    except FuseError:
        raise
    # Libraries raise a different type for every way to fail.
    except Exception as error:
        raise FuseError(f"{place} cannot be read: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    r"""First line of an error's text, or the name of its class if the text is empty.

    >>> first_line(ValueError("one\ntwo")), first_line(KeyError())
    ('one', 'KeyError')
    """
    return next(iter(str(error).splitlines()), "") or type(error).__name__
