"""Download of pictures behind web addresses."""

import hashlib
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from fuse_lightning.data.fetching import PIECE, Budget, failed_because, fetch_http, within
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.addresses import shown
from fuse_lightning.utilities.files import replace_file
from fuse_lightning.utilities.terminal import quoted

LARGEST_FILE = 64 * 2**20
"""Largest download in bytes, headers and redirections included."""
PATIENCE = 30.0
"""Longest download in seconds."""


class Web:
    """Downloader that keeps each address's file in a temporary folder of its own.

    Args:
        urls: Whether http and https addresses are fetched.
        hub: Whether files of the Hugging Face hub are.
    """

    def __init__(self, urls: bool = False, hub: bool = False) -> None:
        self.urls = urls
        self.hub = hub
        self._folders: dict[str, TemporaryDirectory[str]] = {}

    def file(self, address: str) -> Path:
        """File of an address, downloaded on first use.

        Raises:
            FuseError: If such addresses are not fetched, or this one gives no file of 64 MiB at
                most in 30 s.
        """
        # Data sets say zip://a.png::hf://... of a file in an archive.
        scheme = address.rpartition("::")[2].partition("://")[0].lower()
        name = quoted(shown(address))
        if scheme not in ("http", "https", "hf"):
            raise FuseError(f"image {name} is neither a file nor an http or https address")
        if not (self.hub if scheme == "hf" else self.urls and "::" not in address):
            raise FuseError(
                f"image {name} is an address, which is not fetched by default; "
                "give data.urls: true, or files"
            )
        if not self._folders:
            # Of two threads that come first together one gives way, and its folder goes.
            self._folders.setdefault("own", TemporaryDirectory(prefix="fuse-pictures-"))
        path = Path(self._folders["own"].name) / hashlib.sha256(address.encode()).hexdigest()
        if not path.exists():
            budget = Budget(PATIENCE, LARGEST_FILE)
            fetch = _hub if scheme == "hf" else fetch_http
            try:
                # Another thread may ask for it too: it is there when it is whole.
                replace_file(path, within(budget, partial(fetch, address, budget)))
            # The hub's client raises a type of its own for every way to fail.
            except Exception as error:
                raise FuseError(
                    f"image {name} cannot be fetched ({failed_because(error)}); check the address"
                ) from error
        return path


def _hub(address: str, budget: Budget) -> bytes:
    import fsspec

    pieces = []
    with fsspec.open(address, "rb") as file:
        while piece := file.read(PIECE):
            budget.spend(len(piece))
            pieces.append(piece)
    return b"".join(pieces)
