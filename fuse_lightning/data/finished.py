"""Targets that earlier runs have finished."""

from collections.abc import Iterable
from pathlib import Path

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.results.result import read_targets, result_files
from fuse_lightning.utilities.files import home_path


class Finished:
    """Finished targets of earlier runs, by name and by content.

    Args:
        sources: Folders of runs, or their ``prompts.jsonl``.

    Attributes:
        digests: Digests of the content that was searched for, by name; "" for any content, as
            earlier versions wrote no digest.
        changed: Names of the targets that turned out to have other content now.

    Raises:
        FuseError: If there is no such file, or a line of it is no result.
    """

    def __init__(self, sources: Iterable[str] = ()) -> None:
        self.digests: dict[str, set[str]] = {}
        self.changed: dict[str, None] = {}
        for source in sources:
            for name, rows in read_targets(_files(source)).items():
                if rows[0].finished:
                    self.digests.setdefault(name, set()).add(rows[0].digest)

    def names(self, target: Target) -> bool:
        """Whether a target of this name is finished, whatever its content."""
        return target.id in self.digests

    def has(self, target: Target) -> bool:
        """Whether a target of this name and content is finished; reads its content if needed."""
        known = self.digests.get(target.id, set())
        if not known or "" in known:
            return bool(known)
        try:
            same = target.digest in known
        except FuseError:
            # It could not be searched either.
            return True
        if not same:
            self.changed[target.id] = None
        return same


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
