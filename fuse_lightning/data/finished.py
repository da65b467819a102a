"""Which targets a run has finished."""

from collections.abc import Iterable
from pathlib import Path

from fuse_lightning.errors import FuseError
from fuse_lightning.files import home_path
from fuse_lightning.results import read_targets, result_files


def finished_ids(sources: Iterable[str]) -> set[str]:
    """Ids of the targets in run folders, or in their ``prompts.jsonl``.

    Raises:
        FuseError: If there is no such file, or a line of it is no result.
    """
    return {
        name
        for source in sources
        for name, rows in read_targets(_files(source)).items()
        if rows[0].finished
    }


def _files(source: str) -> list[Path]:
    path = home_path(source, "data.skip_finished")
    # A run over several devices that was killed has a file of each.
    files = result_files(path) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise FuseError(
            f"{source!r} holds no prompts.jsonl; give data.skip_finished the folder of a run, such "
            "as logs/search/version_0"
        )
    return files
