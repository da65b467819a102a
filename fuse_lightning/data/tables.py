"""Tables of Parquet, Arrow and the hub, of which no more is read than what is asked for."""

import json
import re
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any

from fuse_lightning.errors import FuseError

SUFFIXES = (".parquet", ".arrow")
BATCH = 16
SHUFFLED_TOGETHER = 256
"""Rows of a stream that wait in memory to be shuffled."""


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
        with _reading(place):
            self.columns: list[str] = schema.names
            self.stored = [field.name for field in schema if _holds_pictures(field.type)]
        self.labels = _class_names(schema)

    def read(self, columns: Sequence[str]) -> list[dict[str, Any]]:
        """All rows of some columns."""
        with _reading(self.place):
            return self._read(list(columns))

    def cell(self, row: int, column: str) -> Any:
        """One value; of a picture, what is in its file."""
        with _reading(self.place):
            return self._cell(row, column)

    @abstractmethod
    def _read(self, columns: list[str]) -> list[dict[str, Any]]: ...

    @abstractmethod
    def _cell(self, row: int, column: str) -> Any: ...


class ArrowTable(Table):
    """A table that is mapped into memory.

    Args:
        table: The pyarrow table.
        place: What to call it.
    """

    def __init__(self, table: Any, place: str) -> None:
        super().__init__(table.schema, place)
        self.table = table

    def _read(self, columns: list[str]) -> list[dict[str, Any]]:
        return _sound(self.table.select(columns)).to_pylist()  # type: ignore[no-any-return]

    def _cell(self, row: int, column: str) -> Any:
        return _sound(self.table.column(column).slice(row, 1))[0].as_py()


class ParquetTable(Table):
    """A Parquet file; values are found fastest in the order of the rows.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        from pyarrow.parquet import ParquetFile

        with _reading(_named(path)):
            self.file = ParquetFile(path, memory_map=True)
            groups = [self.file.metadata.row_group(i) for i in range(self.file.num_row_groups)]
        super().__init__(self.file.schema_arrow, _named(path))
        self._starts = [0, *accumulate(group.num_rows for group in groups)]
        # Where the reading of a column in a group of rows is: the batch read last, its first row.
        self._reads: tuple[str, int] | None = None
        self._batches: Iterator[Any] = iter(())
        self._batch: Any = ()
        self._first = 0
        # Pictures are read in several threads.
        self._lock = Lock()

    def _read(self, columns: list[str]) -> list[dict[str, Any]]:
        return self.file.read(columns).to_pylist()  # type: ignore[no-any-return]

    def _cell(self, row: int, column: str) -> Any:
        with self._lock:
            return self._seek(row, column)

    def _seek(self, row: int, column: str) -> Any:
        group = bisect_right(self._starts, row) - 1
        if self._reads != (column, group) or row < self._first:
            self._batches = self.file.iter_batches(BATCH, [group], [column])
            self._reads, self._first, self._batch = (column, group), self._starts[group], ()
        while row >= self._first + len(self._batch):
            self._first += len(self._batch)
            self._batch = ()
            self._batch = next(self._batches)
        return self._batch.column(0)[row - self._first].as_py()


def open_table(path: Path) -> Table:
    """A Parquet or Arrow file.

    Raises:
        FuseError: If it cannot be read.
    """
    return ParquetTable(path) if path.suffix.lower() == ".parquet" else _arrow(path, _named(path))


def saved_table(folder: Path) -> Table:
    """A folder written by ``Dataset.save_to_disk``.

    Raises:
        FuseError: If it cannot be read, or holds several splits.
    """
    if (folder / "dataset_dict.json").is_file():
        splits = ", ".join(sorted(str(child) for child in folder.iterdir() if child.is_dir()))
        raise FuseError(f"{_named(folder)} has several splits; give one of {splits}")
    import datasets

    with _reading(_named(folder)):
        return _whole(datasets.load_from_disk(str(folder)), _named(folder))


def is_saved(folder: Path) -> bool:
    """Whether ``save_to_disk`` wrote a folder."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def hub_table(
    source: str, revision: str | None, count: int | None = None, seed: int | None = None
) -> Table:
    """A data set of the Hugging Face hub.

    Args:
        source: ``USER/NAME``, ``USER/NAME@SPLIT`` or ``USER/NAME:CONFIG@SPLIT``.
        revision: Branch, tag or commit.
        count: Read only the first so many rows, and nothing else from the network.
        seed: Shuffle before counting, among 256 rows at a time.

    Raises:
        FuseError: If there is none.
    """
    place = f"data set 'hub:{source}'"
    name, _, split = source.partition("@")
    name, _, config = name.partition(":")
    if not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
        raise FuseError(
            f"{place} is no id of the hub; give hub:USER/NAME, hub:USER/NAME@SPLIT or "
            "hub:USER/NAME:CONFIG@SPLIT"
        )
    if Path(name).exists():
        raise FuseError(f"{place} is also a folder here; give {name!r} for that, or run elsewhere")
    import datasets

    try:
        data = datasets.load_dataset(
            name,
            config or None,
            split=split or "train",
            revision=revision,
            streaming=count is not None,
        )
        if count is None:
            return _whole(data, place)
        if seed is not None:
            data = data.shuffle(seed=seed, buffer_size=SHUFFLED_TOGETHER)
        return _spooled(data.take(count), place)
    except FuseError:
        raise
    # datasets raises a different type for every way to fail.
    except Exception as error:
        raise FuseError(
            f"{place} cannot be loaded ({_first_line(error)}); check the id, the split and the "
            "network"
        ) from error


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


def _sound(part: Any) -> Any:
    # Arrow trusts the positions that a file gives, and would read beside it.
    part.validate(full=True)
    return part


def _arrow(path: Path, place: str) -> ArrowTable:
    import pyarrow as pa

    with _reading(place):
        content = pa.memory_map(str(path))
        try:
            return ArrowTable(pa.ipc.open_stream(content).read_all(), place)
        except pa.ArrowInvalid:
            return ArrowTable(pa.ipc.open_file(content).read_all(), place)


def _whole(data: Any, place: str) -> ArrowTable:
    return ArrowTable(data.with_format("arrow")[:], place)


def _spooled(stream: Any, place: str) -> ArrowTable:
    """A stream as a table in a temporary file, gone with the table."""
    import pyarrow as pa

    batches = stream.with_format("arrow").iter(BATCH)
    if (first := next(batches, None)) is None:
        raise FuseError(f"{place} is empty; it needs a row for each target")
    # What is mapped stays when the file has lost its name; a system that keeps the name may do so.
    with TemporaryDirectory(prefix="fuse-rows-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "rows.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, first.schema) as writer:
            writer.write_table(first)
            for batch in batches:
                writer.write_table(batch.cast(first.schema))
        return _arrow(path, place)


def _named(path: Path) -> str:
    return f"data set {str(path)!r}"


@contextmanager
def _reading(place: str) -> Iterator[None]:
    """One clear error for whatever is wrong in a file."""
    try:
        yield
    except FuseError:
        raise
    # Libraries raise a different type for every way to fail.
    except Exception as error:
        raise FuseError(f"{place} cannot be read: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "") or type(error).__name__
