"""Names of targets: stable between runs, and safe to show."""

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
"""Number of characters kept at each end of a long name."""
LONGEST_TEXT = 40
DIGITS = 8
TOLD = 5
"""Number of names in a message about many names."""


def clean(name: str) -> str:
    r"""Name in one line, shown alike by files, terminals and TensorBoard.

    Control characters are escaped, and a name of more than 200 characters loses its middle. A name
    that was changed ends in a digest of the original, so that different names stay different.

    >>> clean("a red house")
    'a red house'
    >>> clean("two\nlines")
    'two\\nlines#edc8c128'
    """
    told = name if name.isprintable() else visible(name)
    if told == name and len(name) <= LONGEST_NAME:
        return name
    if len(told) > 2 * KEPT:
        told = f"{told[:KEPT]}…{told[-KEPT:]}"
    return f"{told}#{short_digest(name)}"


def short_digest(text: str) -> str:
    """First eight hex digits of a text's SHA-256.

    >>> short_digest("a")
    'ca978112'
    """
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:DIGITS]


def turn(seed: int, name: str) -> bytes:
    """Place of a name in an order by chance, the same on every machine and whatever else is there.

    >>> sorted(["a", "b", "c"], key=lambda name: turn(2, name))
    ['c', 'a', 'b']
    """
    return hashlib.sha256(f"{seed}/{name}".encode(errors="surrogatepass")).digest()


def text_name(text: str) -> str:
    """Name of a text: the text itself, or the first words of a long one and a digest of it.

    >>> text_name("a red house by the sea")
    'a red house by the sea'
    >>> text_name("a red house by the sea, and two old boats on a calm lake")
    'a red house by the sea, and two old… b30cf5bf'
    """
    if len(text) <= LONGEST_TEXT and visible(text) == text:
        return text
    words = visible(" ".join(text.split()))
    first = textwrap.shorten(words, LONGEST_TEXT, placeholder="", break_on_hyphens=False)
    return f"{first or words[:LONGEST_TEXT]}… {short_digest(text)}"


def address_name(address: str) -> str:
    """Name of a web address, without password, and with a digest in place of a query.

    >>> address_name("https://me:secret@example.org/a.png")
    'https://example.org/a.png'
    >>> address_name("https://example.org/a.png?key=secret")
    'https://example.org/a.png#e83da1cd'
    """
    told = shown(address)
    return f"{told}#{short_digest(address)}" if told != address and "?" in address else told


def some(names: Collection[str]) -> str:
    """Text with the first few of many names, and the number of the others.

    >>> some("abcdefg")
    "'a', 'b', 'c', 'd', 'e' and 2 more"
    """
    told = ", ".join(repr(clean(name)) for name in islice(names, TOLD))
    return f"{told} and {len(names) - TOLD} more" if len(names) > TOLD else told


class Root:
    """Folder against which relative sources and names are resolved.

    Args:
        folder: The folder, by default the current one.

    Attributes:
        folder: Absolute path of the folder.

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
        """Path of a source; left relative if this folder is the current one.

        Raises:
            FuseError: If it begins with a home folder that is missing; ``what`` names the option.
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
        """Glob pattern from this folder; special characters in the folder's path are escaped."""
        path = home_path(source, what)
        if path.is_absolute() or self._is_here():
            return str(path)
        return str(Path(glob.escape(str(self.folder)), path))

    def name(self, path: Path) -> str:
        """Name of a path: relative to this folder, or the whole path if it lies elsewhere."""
        whole = normal(path)
        inside = whole.is_relative_to(self.folder)
        # A malformed address is read as a path.
        return address_name((whole.relative_to(self.folder) if inside else whole).as_posix())


def normal(path: Path) -> Path:
    """Absolute path without ``..``; a link at its end is kept.

    >>> normal(Path("/data/pictures/../a.png")).as_posix()
    '/data/a.png'
    """
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
