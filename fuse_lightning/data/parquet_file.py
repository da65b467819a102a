"""Tables of Parquet files, read a few rows at a time."""

import sys
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from threading import Lock
from typing import Any

from fuse_lightning.data.table import Table, named, reading
from fuse_lightning.utilities.regular import check_regular

BATCH = 16


class ParquetTable(Table):
    """Table over a Parquet file; reading rows in order is fastest.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        from pyarrow.parquet import ParquetFile

        with reading(named(path)):
            check_regular(path, sys.maxsize)
            # Not mapped: a mapped file that gets shorter ends the process.
            self.file = ParquetFile(path, memory_map=False)
            groups = [self.file.metadata.row_group(i) for i in range(self.file.num_row_groups)]
        super().__init__(self.file.schema_arrow, named(path))
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
