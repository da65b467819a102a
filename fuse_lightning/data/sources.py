"""Where pictures come from: files, folders, patterns, manifests, tables, the hub."""

import glob
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fuse_lightning.data import manifest, tables
from fuse_lightning.data.images import SUFFIXES
from fuse_lightning.data.rows import Columns, manifest_targets, table_targets
from fuse_lightning.data.tables import hub_table, is_saved, open_table, saved_table
from fuse_lightning.data.targets import Target
from fuse_lightning.data.web import Web, shown
from fuse_lightning.errors import FuseError
from fuse_lightning.files import home_path
from fuse_lightning.terminal import quoted

ZOO_SCENES = Path(__file__).parents[1] / "zoo" / "images"
HUB = "hub:"
METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")


@dataclass(frozen=True)
class Sources:
    """How sources of pictures are read.

    Attributes:
        columns: Columns of manifests and tables.
        urls: Whether http and https addresses are fetched.
        revision: Branch, tag or commit of data sets of the hub.
        stream: Rows to read of a data set of the hub; ``None`` for all.
        seed: Order in which the rows of a stream come; ``None`` for their own.
    """

    columns: Columns
    urls: bool = False
    revision: str | None = None
    stream: int | None = None
    seed: int | None = None

    def targets(self, source: str) -> list[Target]:
        """All targets of a source; no picture is read.

        Raises:
            FuseError: If it is missing, empty or something else.
        """
        if source == "zoo/scenes":
            return self._folder(ZOO_SCENES)
        if source.startswith(HUB):
            name = source.removeprefix(HUB)
            table = hub_table(name, self.revision, self.stream, self.seed)
            stem = name.partition("@")[0].partition(":")[0].rpartition("/")[2]
            return table_targets(table, stem, None, self.columns, Web(self.urls, hub=True))
        if (address := shown(source)) != source or "://" in source:
            raise FuseError(
                f"image {quoted(address)} is an address; name it in a manifest, such as a .csv "
                "file with the column file_name, and give data.urls: true"
            )
        path = home_path(source, "image")
        if path.is_dir():
            return self._folder(path)
        if path.exists():
            return self._file(path)
        if glob.has_magic(source):
            names = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
            for suffixes in (SUFFIXES, tables.SUFFIXES):
                if found := [name for name in names if name.suffix.lower() in suffixes]:
                    return _apart(found, [self._file(name) for name in found])
            raise FuseError(
                f"no image matches {source!r}; check the pattern and quote it in the shell"
            )
        is_id = source.count("/") == 1 and not path.suffix
        hint = f", or give {HUB}{source} for a data set of the hub" if is_id else ""
        raise FuseError(f"image {source!r} does not exist; check data.images{hint}")

    def _file(self, path: Path) -> list[Target]:
        web = Web(self.urls)
        suffix = path.suffix.lower()
        if suffix in manifest.SUFFIXES:
            return manifest_targets(path, self.columns, web)
        if suffix in tables.SUFFIXES:
            return table_targets(open_table(path), path.stem, path.parent, self.columns, web)
        return [Target(path.stem, [path])]

    def _folder(self, path: Path) -> list[Target]:
        if is_saved(path):
            table = saved_table(path)
            return table_targets(table, path.name, path, self.columns, Web(self.urls))
        for name in METADATA:
            if (path / name).is_file():
                return self._file(path / name)
        targets = [Target(picture.stem, [picture]) for picture in _files(path, SUFFIXES)]
        for folder in sorted(child for child in _visible(path) if child.is_dir()):
            if pictures := _files(folder, SUFFIXES):
                targets.append(Target(folder.name, pictures))
        found = _files(path, tables.SUFFIXES)
        targets = targets or [target for name in found for target in self._file(name)]
        if not targets:
            kinds = ", ".join(sorted(SUFFIXES))
            raise FuseError(
                f"folder {str(path)!r} holds no images; it needs files ending in {kinds}, "
                f"or in {' or '.join(tables.SUFFIXES)}"
            )
        return targets


def _apart(paths: list[Path], found: list[list[Target]]) -> list[Target]:
    """Targets of files, those of one name told apart by their folders.

    Numbers would do so too, but go to other files once a folder is added.
    """
    times = Counter(path.stem for path in paths)
    top = Path(os.path.commonpath([path.parent for path in paths]))
    for path, targets in zip(paths, found, strict=True):
        if times[path.stem] > 1 and len(targets) == 1:
            targets[0].id = "-".join(path.relative_to(top).with_suffix("").parts)
    return [target for targets in found for target in targets]


def _files(folder: Path, suffixes: frozenset[str] | tuple[str, ...]) -> list[Path]:
    return sorted(
        path for path in _visible(folder) if path.is_file() and path.suffix.lower() in suffixes
    )


def _visible(folder: Path) -> list[Path]:
    """What a folder holds, without the hidden files that some systems put beside pictures."""
    return [path for path in folder.iterdir() if not path.name.startswith(".")]
