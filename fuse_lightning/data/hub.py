"""Data sets of the Hugging Face hub as tables."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fuse_lightning.data.arrow_files import ArrowFiles
from fuse_lightning.data.table import Table, first_line, sound
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.network import network

HUB = "hub:"
"""Beginning of sources that are data sets of the hub."""
BATCH = 16
SHUFFLED_TOGETHER = 256
"""Rows of a stream that are kept in memory and shuffled together."""


class ArrowTable(Table):
    """Table over a pyarrow table, such as one that ``datasets`` maps from its cache.

    Args:
        table: The pyarrow table.
        place: Name in errors.
    """

    def __init__(self, table: Any, place: str) -> None:
        super().__init__(table.schema, place)
        self.table = table

    def _read(self, columns: list[str]) -> list[dict[str, Any]]:
        return sound(self.table.select(columns)).to_pylist()  # type: ignore[no-any-return]

    def _cell(self, row: int, column: str) -> Any:
        return sound(self.table.column(column).slice(row, 1))[0].as_py()


def hub_name(source: str) -> str:
    """Name of a data set of the hub: the source without the end of a slice and without ``@train``.

    The first rows of a split are the same rows, however many there are.

    >>> hub_name("hub:user/data@train[:100]"), hub_name("hub:user/data@test[5:10]")
    ('hub:user/data', 'hub:user/data@test[5:10]')
    """
    return re.sub(r"\[:[^]:]*\]$", "", source).removesuffix("@train")


def hub_table(
    source: str, revision: str | None, count: int | None = None, seed: int | None = None
) -> Table:
    """Opens a data set of the Hugging Face hub as a table.

    Args:
        source: ``USER/NAME``, ``USER/NAME@SPLIT`` or ``USER/NAME:CONFIG@SPLIT``.
        revision: Branch, tag or commit.
        count: Rows to read; the others are not downloaded. ``None`` reads all.
        seed: Seed of a shuffle before counting, among 256 rows at a time; ``None`` for none.

    Raises:
        FuseError: If it cannot be loaded or is empty.
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
            f"{place} cannot be loaded ({first_line(error)}); check the id, the split and "
            f"{network()}"
        ) from error


def _whole(data: Any, place: str) -> ArrowTable:
    return ArrowTable(data.with_format("arrow")[:], place)


def _spooled(stream: Any, place: str) -> ArrowFiles:
    """Writes a stream to a temporary file, which is gone once the table is closed."""
    import pyarrow as pa

    batches = stream.with_format("arrow").iter(BATCH)
    if (first := next(batches, None)) is None:
        raise FuseError(f"{place} is empty; it needs at least one row")
    # An open file stays when it has lost its name; a system that keeps the name may do so.
    with TemporaryDirectory(prefix="fuse-rows-", ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "rows.arrow"
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, first.schema) as writer:
            writer.write_table(first)
            for batch in batches:
                writer.write_table(batch.cast(first.schema))
        return ArrowFiles([path], place)
