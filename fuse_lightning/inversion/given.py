"""What the user gave to invert: pictures, or texts."""

import glob
import os
import re
from pathlib import Path
from typing import Any

from fuse_lightning.data.formats import SUFFIXES as PICTURES
from fuse_lightning.data.hub import HUB
from fuse_lightning.data.in_memory import listed
from fuse_lightning.data.manifest import SUFFIXES as MANIFESTS
from fuse_lightning.data.tables import SUFFIXES as TABLES
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.option_names import option

ENDINGS = frozenset((*PICTURES, *MANIFESTS, *TABLES))
ZOO = "zoo/scenes"
TEXT_FILE = ".txt"


def sorted_out(given: Any) -> tuple[list[Any], list[str]]:
    """Sources of pictures, and texts; one of the two is empty.

    Raises:
        FuseError: If there are both.

    >>> sorted_out("two stars"), sorted_out(["a.png", "b.png"])
    (([], ['two stars']), (['a.png', 'b.png'], []))
    """
    sources = listed(given)
    texts = [each for each in sources if isinstance(each, str) and not names_picture(each)]
    pictures = [each for each in sources if not isinstance(each, str) or names_picture(each)]
    if texts and pictures:
        raise FuseError(
            f"{texts[0]!r:.60} is a text, and others are pictures; invert pictures and texts one "
            f"after the other, or give {option('text')} to compare every picture's prompt with one "
            "text too"
        )
    return pictures, texts


def names_picture(text: str) -> bool:
    """Whether a text names pictures: by a path, an address, a pattern or a data set.

    What exists on disk does, unless it ends in .txt, and so does what ends like a picture or a
    table, so that a missing one is told.

    >>> [names_picture(each) for each in ("a.png", "hub:me/birds", "is it a dog?", "a/b c")]
    [True, True, False, False]
    """
    name = text.strip()
    if not name or "\n" in name or name.endswith(TEXT_FILE):
        return False
    if name == ZOO or re.match(rf"{HUB}\S+$|[a-z]+://\S+$", name):
        return True
    if Path(name).suffix.lower() in ENDINGS:
        return True
    try:
        path = os.path.expanduser(name)
        there = os.path.exists(path) or (glob.has_magic(path) and bool(glob.glob(path)))
    except (OSError, ValueError):
        return False
    # A word with a slash, such as a missing folder, is no text that somebody would invert.
    return there or (os.sep in name and not re.search(r"\s", name))
