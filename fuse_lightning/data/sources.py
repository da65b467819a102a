"""Sources of pictures: files, folders, patterns, manifests, tables, the hub, addresses."""

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuse_lightning.data import images, manifest, tables
from fuse_lightning.data.folders import ANY_DEPTH, UNREADABLE, listing, matching, tell_left, told
from fuse_lightning.data.hub import HUB, hub_name
from fuse_lightning.data.in_memory import is_in_memory, memory_target
from fuse_lightning.data.names import Root, address_name
from fuse_lightning.data.pictures import Unreadable, WebPicture
from fuse_lightning.data.rows import Columns, manifest_targets, table_targets
from fuse_lightning.data.tables import hub_table, is_saved, open_table, saved_table
from fuse_lightning.data.targets import Target
from fuse_lightning.data.web import Web
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.addresses import shown
from fuse_lightning.utilities.terminal import quoted

ZOO_SCENES = Path(__file__).parents[1] / "zoo" / "images"
METADATA = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
NO_PICTURE = "no picture by its ending"
BESIDE = ".txt"
"""Ending of the text that belongs to the picture of the same name."""


@dataclass(frozen=True)
class Sources:
    """Reader of picture sources, with the options that they share.

    Attributes:
        root: Folder that relative sources, and names, are relative to.
        columns: Columns of manifests and tables.
        urls: Whether http and https addresses are fetched.
        revision: Branch, tag or commit of data sets of the hub.
        stream: Rows to read of a data set of the hub; ``None`` for all.
        seed: Order in which the rows of a stream come; ``None`` for their own.
    """

    root: Root
    columns: Columns
    urls: bool = False
    revision: str | None = None
    stream: int | None = None
    seed: int | None = None

    def targets(self, source: Any) -> list[Target]:
        """All targets of a source, with unread pictures.

        Args:
            source: Its name; or a path, or a picture in memory.

        Raises:
            FuseError: If the source is missing, empty or of another kind.
        """
        if is_in_memory(source):
            return [memory_target(source, self.root)]
        if not isinstance(source, str | Path):
            raise FuseError(
                f"data.images holds {source!r:.60}, of type {type(source).__name__}; give the name "
                "of a picture, a PIL image, an array or a tensor"
            )
        return self._named(str(source))

    def name(self, source: Any) -> str:
        """Name of a source in results: as it was given, without a password."""
        if is_in_memory(source):
            return memory_target(source, self.root).source
        return shown(str(source))

    def _named(self, source: str) -> list[Target]:
        if source == "zoo/scenes":
            found = self._folder(ZOO_SCENES)
            # Where the package lies is no matter of what is found.
            for target in found:
                target.source = f"{source}/{Path(target.source).name}"
            return found
        if source.startswith(HUB):
            table = hub_table(source.removeprefix(HUB), self.revision, self.stream, self.seed)
            web = Web(self.urls, hub=True)
            return table_targets(table, hub_name(source), None, self.columns, web, self.root)
        path = self.root.find(source, "image")
        if os.path.isdir(path):
            return self._folder(path)
        if os.path.exists(path):
            return self._file(path)
        if "://" in source:
            name = address_name(source)
            return [Target(name, [WebPicture(source, Web(self.urls))], source=name)]
        if glob.has_magic(source):
            return self._pattern(source)
        is_id = source.count("/") == 1 and not path.suffix
        hint = f", or give {HUB}{source} for a data set of the hub" if is_id else ""
        raise FuseError(f"image {quoted(shown(source))} does not exist; check its path{hint}")

    def _file(self, path: Path) -> list[Target]:
        web = Web(self.urls)
        name = self.root.name(path)
        suffix = path.suffix.lower()
        if suffix in manifest.SUFFIXES:
            return manifest_targets(path, self.columns, web, self.root)
        if suffix in tables.SUFFIXES:
            return table_targets(open_table(path), name, path.parent, self.columns, web, self.root)
        return [Target(name, [path], source=name)]

    def _files(self, paths: Sequence[Path]) -> list[Target]:
        return [target for path in paths for target in self._file(path)]

    def _pattern(self, source: str) -> list[Target]:
        found = matching(self.root.pattern(source, "image"))
        files, left = found.files, found.left
        ending = Path(source).suffix
        # Whoever writes an ending means the files that have it, whatever it is.
        if not ending or glob.has_magic(ending):
            files, others = _of_one_kind(files, tables_too=True)
            left = [*others, *left]
        if ANY_DEPTH not in source:
            left = [*left, *((folder, "a folder") for folder in found.folders)]
        if not files:
            but = f"; it matches {told(left)}" if left else ""
            raise FuseError(
                f"no image matches {quoted(shown(source))}{but}; check the pattern and quote it in "
                "the shell"
            )
        tell_left(f"pattern {quoted(shown(source))}", left)
        return self._files(files)

    def _folder(self, path: Path) -> list[Target]:
        if is_saved(path):
            name = self.root.name(path)
            web = Web(self.urls)
            return table_targets(saved_table(path), name, path, self.columns, web, self.root)
        for name in METADATA:
            if (path / name).is_file():
                return self._file(path / name)
        here = listing(path)
        left = here.left
        styles: list[Target] = []
        unreadable: list[Target] = []
        for folder in here.folders:
            name = self.root.name(folder)
            try:
                pictures, others = self._pictures_below(folder)
            except FuseError as error:
                unreadable.append(Target(name, [Unreadable(str(error))], source=name))
                continue
            left += others
            if pictures:
                styles.append(Target(name, pictures, source=name))
        files, others = _of_one_kind(here.files, tables_too=not styles)
        left = [*others, *left]
        targets = [*self._files(files), *styles, *unreadable]
        if not targets:
            raise FuseError(
                f"folder {quoted(path)} holds no images; it needs pictures such as .jpg, .png or "
                f".webp, folders of them, or tables ({', '.join(tables.SUFFIXES)})"
                + (f"; it holds {told(left, path)}" if left else "")
            )
        tell_left(f"folder {quoted(path)}", left, path)
        return targets

    def _pictures_below(self, folder: Path) -> tuple[list[Path], list[tuple[Path, str]]]:
        """Pictures of a sub-folder and one folder further down, and the left-out paths."""
        here = listing(folder)
        left = strays(here.files, [*filter(_is_picture, here.files)]) + here.left
        for deep in here.folders:
            try:
                below = listing(deep)
            except FuseError:
                left.append((deep, UNREADABLE))
                continue
            places = [*filter(_is_picture, below.files), *below.folders]
            left += [(place, "two folders down") for place in places]
        return [file for file in here.files if _is_picture(file)], left


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in images.SUFFIXES


def _of_one_kind(
    files: Sequence[Path], tables_too: bool
) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Pictures, or tables if there are no pictures; and the left-out files with the reason."""
    found = [file for file in files if _is_picture(file)]
    if tables_too and not found:
        found = [file for file in files if file.suffix.lower() in tables.SUFFIXES]
    return found, strays(files, found)


def strays(files: Sequence[Path], taken: Sequence[Path]) -> list[tuple[Path, str]]:
    """Files that are not taken; a text beside a picture, such as a prompt of it, is no stray.

    >>> [path.name for path, _ in strays([Path("a.txt"), Path("b.txt")], [Path("a.png")])]
    ['b.txt']
    """
    known = {*taken, *(file.with_suffix(BESIDE) for file in taken)}
    return [(file, NO_PICTURE) for file in files if file not in known]
