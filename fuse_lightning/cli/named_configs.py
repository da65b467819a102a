"""Configurations that come with the package, and their names on the command line."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from itertools import pairwise
from os.path import exists, isfile
from pathlib import Path

import fuse_lightning
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.terminal import quoted

CONFIG = ("-c", "--config")
NAME = re.compile(r"(?P<folder>[^:\n]*[/\\])?(?P<stem>[\w-]+)(\.ya?ml)?")
"""A file's name as a user types it, in contrast to a configuration typed as YAML."""
NOTHING = ("null", "true", "false")
"""Words that YAML reads as values."""


def shipped_configs() -> dict[str, Path]:
    """Configuration files of the package, by name.

    >>> shipped_configs()["quickstart"].name
    'quickstart.yaml'
    """
    package = Path(fuse_lightning.__file__).parent
    # A wheel holds them in the package; in a checkout they lie beside it.
    inside = package / "configs"
    folder = inside if inside.is_dir() else package.parent / inside.name
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def with_config_paths(words: Iterable[str]) -> list[str]:
    """The words of a command line, with the path of each configuration that is given by name.

    A file of this name in the current folder, also with ``.yaml`` behind it, is taken before one
    of the package.

    Raises:
        FuseError: If a configuration is given by a name that neither a file nor one of the package
            has.

    >>> words = with_config_paths(["fit", "--config", "quickstart"])
    >>> words[:2], words[2].endswith("configs/quickstart.yaml")
    (['fit', '--config'], True)
    """
    found = list(words)
    for place, (word, after) in enumerate(pairwise([*found, ""])):
        option, equals, value = word.partition("=")
        if option in CONFIG and equals:
            found[place] = f"{option}={_path(value)}"
        elif option in CONFIG and place + 1 < len(found):
            found[place + 1] = _path(after)
    return found


def unknown_config(value: str) -> FuseError:
    """The error for a name that no configuration has, with the closest one that there is."""
    close = next(iter(get_close_matches(Path(value).stem, shipped_configs(), 1)), None)
    remedy = (
        f"did you mean {close}, which comes with the package? fuse configs lists all that do"
        if close
        else "give a YAML file, or the name of one that comes with the package (fuse configs lists "
        "them)"
    )
    return FuseError(f"config {quoted(value)} cannot be read: it does not exist; {remedy}")


def _path(value: str) -> str:
    name = NAME.fullmatch(value)
    known = shipped_configs()
    # A folder of pictures may have the name of a configuration.
    taken = isfile(value) or (exists(value) and value not in known)
    if name is None or value in NOTHING or taken:
        return value
    if name["folder"]:
        # A page may name the file of a checkout. Of others the parser says where it looked.
        if name["stem"] in known:
            raise unknown_config(value)
        return value
    if isfile(own := f"{value}.yaml"):
        return own
    if name["stem"] not in known:
        raise unknown_config(value)
    return str(known[name["stem"]])
