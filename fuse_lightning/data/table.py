"""Tables, of which no more is read than what is asked for."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.terminal import quoted


class Table(ABC):
    """Rows in columns.

    Args:
        schema: The Arrow schema.
        place: What to call it.

    Attributes:
        columns: Names of its columns.
        stored: Those that hold what is in picture files, or how to find them.
        labels: Names of the classes in columns that hold only their numbers.

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
        """All rows of some columns."""
        with reading(self.place):
            return self._read(list(columns))

    def cell(self, row: int, column: str) -> Any:
        """One value; of a picture, what is in its file."""
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
    """A part of a table, once it is checked: Arrow trusts positions and would read beside it.

    Raises:
        pyarrow.ArrowInvalid: If it is not sound.
    """
    part.validate(full=True)
    return part


def named(path: Path) -> str:
    """What to call a table in errors."""
    return f"data set {quoted(path)}"


@contextmanager
def reading(place: str) -> Iterator[None]:
    """One clear error for whatever is wrong in a file.

    Raises:
        FuseError: If anything is.
    """
    try:
        yield
    except FuseError:
        raise
    # Libraries raise a different type for every way to fail.
    except Exception as error:
        raise FuseError(f"{place} cannot be read: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its kind."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__
