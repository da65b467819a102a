"""Files among several pictures that hold none, as a pattern of the shell brings along."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fuse_lightning.data.folders import tell_left
from fuse_lightning.data.images import SUFFIXES, check_image
from fuse_lightning.data.manifest import SUFFIXES as MANIFESTS
from fuse_lightning.data.names import Root
from fuse_lightning.data.rows import Columns
from fuse_lightning.data.sources import Sources, strays
from fuse_lightning.data.tables import SUFFIXES as TABLES
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.option_names import option
from fuse_lightning.utilities.terminal import quoted

TEXT = ".txt"


def without_strays(sources: Sequence[Any]) -> list[Any]:
    """Sources without the files that hold no pictures, if there are pictures beside them.

    One line counts what is left out, as for a folder. A file is taken whose ending is of no
    picture, but which is one, or a table of some.
    """
    paths = {n: _path(each) for n, each in enumerate(sources) if isinstance(each, str | Path)}
    among = any(_is_picture(path) or path.is_dir() for path in paths.values())
    odd = {n: path for n, path in paths.items() if among and _is_stray(path)}
    taken = [path for n, path in paths.items() if n not in odd]
    tell_left("the given pictures", strays([*odd.values()], taken))
    return [each for n, each in enumerate(sources) if n not in odd]


def check_no_text(sources: Sequence[Any]) -> None:
    """Checks that no source of pictures is a file of texts.

    Raises:
        FuseError: If one is.
    """
    for each in sources:
        if isinstance(each, str | Path) and str(each).endswith(TEXT) and _is_stray(_path(each)):
            raise FuseError(f"{quoted(each)} is no picture; give texts as {option('text')}")


def _path(source: str | Path) -> Path:
    return Path(os.path.expanduser(source))


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES


def _is_stray(path: Path) -> bool:
    """Whether a path is a file that holds no pictures; a broken picture is none such."""
    if _is_picture(path) or not os.path.isfile(path):
        return False
    try:
        if path.suffix.lower() in (*MANIFESTS, *TABLES):
            Sources(Root(), Columns()).targets(path)
        else:
            check_image(path)
    except FuseError:
        return True
    return False
