"""What targets are called: a name that stays its own, whatever else is searched."""

import glob
import hashlib
import os
import textwrap
from collections.abc import Collection
from itertools import islice
from pathlib import Path

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.addresses import shown
from fuse_lightning.utilities.files import home_path
from fuse_lightning.utilities.terminal import visible

LONGEST_NAME = 200
KEPT = 90
"""Characters of a longer name that stay, at its beginning and at its end."""
LONGEST_TEXT = 40
DIGITS = 8
TOLD = 5
"""Names in a message about many."""


def clean(name: str) -> str:
    """A name that files, terminals and TensorBoard show alike: in one line, without controls.

    A name of more than 200 characters loses its middle. One that is changed ends in a digest of
    what it was, so that two names stay two.
    """
    told = name if name.isprintable() else visible(name)
    if told == name and len(name) <= LONGEST_NAME:
        return name
    if len(told) > 2 * KEPT:
        told = f"{told[:KEPT]}…{told[-KEPT:]}"
    return f"{told}#{short_digest(name)}"


def short_digest(text: str) -> str:
    """Eight hex digits of SHA-256."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:DIGITS]


def text_name(text: str) -> str:
    """A short text itself; of a longer one its first words and a digest of the whole."""
    if len(text) <= LONGEST_TEXT and visible(text) == text:
        return text
    words = visible(" ".join(text.split()))
    first = textwrap.shorten(words, LONGEST_TEXT, placeholder="", break_on_hyphens=False)
    return f"{first or words[:LONGEST_TEXT]}… {short_digest(text)}"


def address_name(address: str) -> str:
    """An address without its password; in place of its query, which may be a key, a digest."""
    told = shown(address)
    return f"{told}#{short_digest(address)}" if told != address and "?" in address else told


def some(names: Collection[str]) -> str:
    """The first few of many names, and how many more there are."""
    told = ", ".join(repr(clean(name)) for name in islice(names, TOLD))
    return f"{told} and {len(names) - TOLD} more" if len(names) > TOLD else told


class Root:
    """The folder that relative sources are looked up in, and that names are relative to.

    Args:
        folder: The folder, by default the current one.

    Attributes:
        folder: The same, absolute.

    Raises:
        FuseError: If there is none.
    """

    def __init__(self, folder: str | None = None) -> None:
        try:
            self.folder = normal(home_path(folder or ".", "data.root"))
        except FileNotFoundError as error:
            raise FuseError("the current folder is gone; go to another one") from error
        if not os.path.isdir(self.folder):
            raise FuseError(
                f"data.root {folder!r} is no folder; give the one that relative sources lie in"
            )

    def find(self, source: str, what: str) -> Path:
        """Where a source lies, as it is written where that is from the current folder.

        Raises:
            FuseError: If it begins with a home folder that there is not; ``what`` names the option.
        """
        given = self._from_here(Path(source))
        # A file may be called so.
        if source.startswith("~") and not os.path.exists(given):
            return self._from_here(home_path(source, what))
        return given

    def _from_here(self, path: Path) -> Path:
        return path if path.is_absolute() or self._is_here() else self.folder / path

    def _is_here(self) -> bool:
        try:
            return self.folder == Path.cwd()
        except FileNotFoundError:
            return False

    def pattern(self, source: str, what: str) -> str:
        """Where a glob pattern looks; signs in the root's own path stand for themselves."""
        path = home_path(source, what)
        if path.is_absolute() or self._is_here():
            return str(path)
        return str(Path(glob.escape(str(self.folder)), path))

    def name(self, path: Path) -> str:
        """The path from this folder, or the whole path of what lies elsewhere."""
        whole = normal(path)
        inside = whole.is_relative_to(self.folder)
        # A malformed address is read as a path.
        return address_name((whole.relative_to(self.folder) if inside else whole).as_posix())


def normal(path: Path) -> Path:
    """The absolute path without ``..``; a link stays, being a file of its own."""
    path = path if path.is_absolute() else Path.cwd() / path
    if ".." not in path.parts:
        return path
    found = Path(path.anchor)
    for part in path.parts[1:]:
        if part == "..":
            # What is above a link is above the folder that it leads to.
            found = Path(os.path.realpath(found) if os.path.islink(found) else found).parent
        else:
            found /= part
    return found
