"""Tables of Parquet, of Arrow and of the hub."""

from pathlib import Path

from fuse_lightning.data.arrow_files import ArrowFiles
from fuse_lightning.data.arrow_files import saved_table as saved_table
from fuse_lightning.data.hub import hub_table as hub_table
from fuse_lightning.data.parquet_file import ParquetTable
from fuse_lightning.data.table import Table, named

SUFFIXES = (".parquet", ".arrow")


def open_table(path: Path) -> Table:
    """A Parquet or Arrow file.

    Raises:
        FuseError: If it cannot be read.
    """
    if path.suffix.lower() == ".parquet":
        return ParquetTable(path)
    return ArrowFiles([path], named(path))


def is_saved(folder: Path) -> bool:
    """Whether ``save_to_disk`` wrote a folder."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))
