"""Reader of tables in Arrow files, by record batches.

They are not mapped into memory: a mapped file that gets shorter ends the process.
"""

import json
import sys
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any

from fuse_lightning.data.table import Table, named, reading, sound
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.regular import check_regular, read_text

MARK = b"ARROW1"
"""First bytes of an Arrow file with a table of contents at its end; a stream has others."""
STREAM = 8
LARGEST_STATE = 2**26


class ArrowFiles(Table):
    """Table over Arrow files or streams; reading rows in order is fastest.

    Args:
        paths: The files, whose columns are the same.
        place: Name in errors.

    Raises:
        FuseError: If one cannot be read, or has other columns.
    """

    def __init__(self, paths: Sequence[Path], place: str) -> None:
        with reading(place):
            if not paths:
                raise FuseError(f"{place} is empty; it needs at least one row")
            self.parts = [_Part(path) for path in paths]
            schema = self.parts[0].schema
            for path, part in zip(paths, self.parts, strict=True):
                if not part.schema.equals(schema):
                    raise FuseError(f"{named(path)} has other columns than {named(paths[0])}")
        super().__init__(schema, place)
        self._batches = [(part, number) for part in self.parts for number in range(len(part.rows))]
        rows = [count for part in self.parts for count in part.rows]
        self._starts = [0, *accumulate(rows)]
        # The batch that was read last, which holds the next row too, and its number.
        self._last: tuple[int, Any] = (-1, None)
        # Pictures are read in several threads.
        self._lock = Lock()

    def _read(self, columns: list[str]) -> list[dict[str, Any]]:
        if not columns:
            return [{} for _ in range(self._starts[-1])]
        batches = (batch for part in self.parts for batch in part.batches())
        return [row for batch in batches for row in sound(batch.select(columns)).to_pylist()]

    def _cell(self, row: int, column: str) -> Any:
        with self._lock:
            number = bisect_right(self._starts, row) - 1
            if self._last[0] != number:
                part, place = self._batches[number]
                self._last = (number, part.batch(place))
            cell = self._last[1].select([column]).slice(row - self._starts[number], 1)
            return sound(cell).column(0)[0].as_py()


class _Part:
    """Index of one Arrow file: offset and number of rows of each record batch."""

    def __init__(self, path: Path) -> None:
        import pyarrow as pa

        check_regular(path, sys.maxsize)
        self.file = pa.OSFile(str(path))
        self.begin = 0
        if self.file.read(len(MARK)) == MARK:
            # Says whether the file is whole.
            pa.ipc.open_file(self.file)
            self.begin = STREAM
        self.file.seek(self.begin)
        reader = pa.ipc.open_stream(self.file)
        self.schema = reader.schema
        # A batch of numbers for words makes no sense without the batches of words before it.
        self.whole = reader.read_all().to_batches() if _has_dictionaries(self.schema) else None
        self.places: list[int] = []
        self.rows = [batch.num_rows for batch in self.whole or ()]
        while self.whole is None:
            place = self.file.tell()
            try:
                self.rows.append(reader.read_next_batch().num_rows)
            except StopIteration:
                break
            self.places.append(place)

    def batches(self) -> Iterator[Any]:
        """All batches of the file, in order."""
        return (self.batch(number) for number in range(len(self.rows)))

    def batch(self, number: int) -> Any:
        """The batch of this number, counted from 0."""
        if self.whole is not None:
            return self.whole[number]
        import pyarrow as pa

        self.file.seek(self.places[number])
        return pa.ipc.read_record_batch(pa.ipc.read_message(self.file), self.schema)


def saved_table(folder: Path) -> Table:
    """Opens a folder that ``Dataset.save_to_disk`` wrote as a table.

    Raises:
        FuseError: If it cannot be read, or holds several splits.
    """
    place = named(folder)
    if (folder / "dataset_dict.json").is_file():
        splits = ", ".join(sorted(str(child) for child in folder.iterdir() if child.is_dir()))
        raise FuseError(f"{place} has several splits; give one of {splits}")
    with reading(place):
        state = json.loads(read_text(folder / "state.json", LARGEST_STATE))
        if state.get("_indices_files") or state.get("_indices_data_files"):
            raise FuseError(f"{place} is of an old kind; write it again with save_to_disk")
        names = [str(file["filename"]) for file in state["_data_files"]]
        if wrong := [name for name in names if Path(name).name != name]:
            raise FuseError(f"{place} names {wrong[0]!r}, which is no file of its own")
        return ArrowFiles([folder / name for name in names], place)


def _has_dictionaries(schema: Any) -> bool:
    import pyarrow.types as kinds

    def holds(kind: Any) -> bool:
        inner = [kind.field(number).type for number in range(kind.num_fields)]
        return bool(kinds.is_dictionary(kind)) or any(map(holds, inner))

    return any(holds(field.type) for field in schema)
