"""Listings of folders and glob patterns; pipes are not opened, links to folders not followed."""

import glob
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import dropwhile
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_only

from fuse_lightning.data.names import TOLD, clean
from fuse_lightning.errors import FuseError

logger = logging.getLogger(__name__)

ANY_DEPTH = "**"
UNREADABLE = "it cannot be read"


@dataclass
class Found:
    """Files and folders of a listing, each kind sorted by name.

    Attributes:
        files: Regular files, and links to some.
        folders: Folders, and links to some.
        left: Paths that are neither, each with the reason.
    """

    files: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    left: list[tuple[Path, str]] = field(default_factory=list)

    def add(self, path: Path) -> None:
        """Adds a path to the files or folders. Pipes and devices are not opened."""
        if os.path.isfile(path):
            self.files.append(path)
        elif os.path.isdir(path):
            self.folders.append(path)
        elif os.path.islink(path):
            self.left.append((path, "a link to nothing"))
        else:
            there = os.path.lexists(path)
            self.left.append((path, "no regular file" if there else UNREADABLE))


def listing(folder: Path) -> Found:
    """Lists a folder without hidden files, which some systems put beside pictures.

    Raises:
        FuseError: If it cannot be read.
    """
    try:
        names = sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise FuseError(
            f"folder {str(folder)!r} cannot be read ({reason}); allow reading it, or leave it out"
        ) from error
    found = Found()
    for name in names:
        found.add(folder / name)
    return found


def matching(pattern: str) -> Found:
    """Lists the paths that match a glob pattern.

    ``**`` stands for folders at any depth; links to folders are not followed there.
    Folders that cannot be read are left out.
    """
    found = Found()
    for path in sorted(_matches(pattern, found.left)):
        found.add(path)
    return found


def _matches(pattern: str, left: list[tuple[Path, str]]) -> set[Path]:
    parts = Path(pattern).parts
    if ANY_DEPTH not in parts:
        return {Path(name) for name in glob.glob(pattern)}
    place = parts.index(ANY_DEPTH)
    tops = glob.glob(str(Path(*parts[:place]))) if place else ["."]
    rest = Path(*([*dropwhile(ANY_DEPTH.__eq__, parts[place:])] or ["*"]))
    found: set[Path] = set()
    for top in tops:
        for folder, below, _ in os.walk(
            top, onerror=lambda error: left.append((Path(error.filename), UNREADABLE))
        ):
            below[:] = [name for name in below if not name.startswith(".")]
            found |= _matches(str(Path(glob.escape(folder), rest)), left)
    return found


@rank_zero_only
def tell_left(place: str, left: Sequence[tuple[Path, str]], folder: Path | None = None) -> None:
    """Warns in one line about left-out paths: their number, and the first few.

    Args:
        place: Name of the folder or pattern.
        left: Paths that are left out, each with the reason.
        folder: Folder that names are shown relative to; ``None`` shows whole paths.
    """
    if left:
        logger.warning("%s: %d left out: %s", place, len(left), told(left, folder))


def told(left: Sequence[tuple[Path, str]], folder: Path | None = None) -> str:
    """Text with the first few left-out paths and their reasons.

    >>> told([(Path("a/b.txt"), "no picture by its ending")], Path("a"))
    "'b.txt' (no picture by its ending)"
    """
    names = [
        f"{clean(str(path.relative_to(folder) if folder else path))!r} ({reason})"
        for path, reason in left[:TOLD]
    ]
    more = f" and {len(left) - TOLD} more" if len(left) > TOLD else ""
    return ", ".join(names) + more
