"""Opens Parquet and Arrow files, data set folders and hub data sets as tables."""

from pathlib import Path

from fuse_lightning.data.arrow_files import ArrowFiles
from fuse_lightning.data.arrow_files import saved_table as saved_table
from fuse_lightning.data.hub import hub_table as hub_table
from fuse_lightning.data.parquet_file import ParquetTable
from fuse_lightning.data.table import Table, named

SUFFIXES = (".parquet", ".arrow")


def open_table(path: Path) -> Table:
    """Opens a Parquet or Arrow file as a table.

    Raises:
        FuseError: If it cannot be read.
    """
    if path.suffix.lower() == ".parquet":
        return ParquetTable(path)
    return ArrowFiles([path], named(path))


def is_saved(folder: Path) -> bool:
    """Whether a folder was written by ``Dataset.save_to_disk``."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))
