"""Which targets a run has finished."""

import json
from collections.abc import Iterable
from pathlib import Path

from fuse_lightning.errors import FuseError


def finished_ids(sources: Iterable[str]) -> set[str]:
    """Ids of the targets in run folders, or in their ``prompts.jsonl``.

    Raises:
        FuseError: If there is no such file, or a line of it is no result.
    """
    return {name for source in sources for file in _files(source) for name in _ids(file)}


def _files(source: str) -> list[Path]:
    path = Path(source).expanduser()
    # A run over several devices that was killed has a file of each.
    files = sorted(path.glob("prompts*.jsonl")) if path.is_dir() else [path]
    if not files or not files[0].is_file():
        raise FuseError(
            f"{source!r} holds no prompts.jsonl; give data.skip_finished the folder of a run, such "
            "as logs/search/version_0"
        )
    return files


def _ids(file: Path) -> list[str]:
    found = []
    try:
        lines = file.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise FuseError(f"{str(file)!r} cannot be read: {error}") from error
    # The last one is empty, or was being written when the run was killed.
    for number, line in enumerate(lines[:-1], start=1):
        try:
            found.append(str(json.loads(line)["target"]))
        except (KeyError, TypeError, ValueError) as error:
            raise FuseError(
                f"line {number} of {str(file)!r} is no result; give data.skip_finished a "
                "prompts.jsonl"
            ) from error
    return found
