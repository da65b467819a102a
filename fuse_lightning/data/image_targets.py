"""Pictures to find prompts for."""

import glob
from collections.abc import Sequence
from itertools import count
from pathlib import Path

from fuse_lightning.data.images import SUFFIXES, check_image
from fuse_lightning.data.manifest import NAMES, read_manifest
from fuse_lightning.data.module import TargetDataModule
from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError

ZOO_SCENES = Path(__file__).parents[1] / "zoo" / "images"


class ImageTargets(TargetDataModule):
    """Serves pictures.

    Args:
        images: A picture, a folder, a glob pattern, a manifest (``.jsonl`` or ``.csv``), or a
            list of them. In a folder every picture is a target, and every sub-folder one target
            of several pictures, unless it holds a ``metadata.jsonl`` or ``metadata.csv``.
            "zoo/scenes" stands for the pictures that come with the package.
        batch_size: Targets searched together.
        limit: Only the first so many targets.
        together: Whether all pictures are one target, such as a style that they share.
    """

    def __init__(
        self,
        images: str | list[str],
        batch_size: int = 1,
        limit: int | None = None,
        together: bool = False,
    ) -> None:
        super().__init__(batch_size)
        if limit is not None and limit < 1:
            raise FuseError(f"data.limit is {limit}; it must be at least 1")
        self.images = [images] if isinstance(images, str) else list(images)
        self.limit = limit
        self.together = together

    def find_targets(self) -> list[Target]:
        """All targets; every picture's header has been read.

        Raises:
            FuseError: If a source is missing, empty or holds something else.
        """
        if not self.images or "" in self.images:
            raise FuseError(
                "data.images is empty or names nothing; give a picture, a folder or a glob pattern"
            )
        targets = unique([target for source in self.images for target in _targets(source)])
        targets = targets[: self.limit]
        for target in targets:
            for path in target.paths:
                check_image(path)
        if self.together:
            return [Target("together", [path for target in targets for path in target.paths])]
        return targets


def _targets(source: str) -> list[Target]:
    if source == "zoo/scenes":
        return _folder(ZOO_SCENES)
    path = Path(source).expanduser()
    if path.is_dir():
        return _folder(path)
    if path.suffix in (".jsonl", ".csv") and path.is_file():
        return read_manifest(path)
    if path.exists():
        return [Target(path.stem, [path])]
    if glob.has_magic(source):
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True))
        if found := [name for name in found if name.suffix.lower() in SUFFIXES]:
            return [Target(name.stem, [name]) for name in found]
        raise FuseError(f"no image matches {source!r}; check the pattern and quote it in the shell")
    raise FuseError(f"image {source!r} does not exist; check data.images")


def _folder(path: Path) -> list[Target]:
    for name in NAMES:
        if (path / name).is_file():
            return read_manifest(path / name)
    targets = [Target(picture.stem, [picture]) for picture in _pictures(path)]
    for folder in sorted(child for child in _visible(path) if child.is_dir()):
        if pictures := _pictures(folder):
            targets.append(Target(folder.name, pictures))
    if not targets:
        kinds = ", ".join(sorted(SUFFIXES))
        raise FuseError(f"folder {str(path)!r} holds no images; it needs files ending in {kinds}")
    return targets


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        path for path in _visible(folder) if path.is_file() and path.suffix.lower() in SUFFIXES
    )


def _visible(folder: Path) -> list[Path]:
    """What a folder holds, without the hidden files that some systems put beside pictures."""
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def unique(targets: Sequence[Target]) -> list[Target]:
    """The targets with a number added to ids met before."""
    taken = {target.id for target in targets}
    seen: set[str] = set()
    for target in targets:
        if target.id in seen:
            numbered = (f"{target.id}-{number}" for number in count(2))
            target.id = next(name for name in numbered if name not in taken)
            taken.add(target.id)
        seen.add(target.id)
    return list(targets)
