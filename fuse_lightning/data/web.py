"""Pictures that lie behind an address."""

import hashlib
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from fuse_lightning.errors import FuseError

LARGEST_FILE = 64 * 2**20
PATIENCE = 30
"""Seconds for a whole answer; one that stands still gets as many again."""
PIECE = 2**16


class Web:
    """Fetches each address once, into a temporary folder that goes when this does.

    Args:
        urls: Whether http and https addresses are fetched.
        hub: Whether files of the Hugging Face hub are.
    """

    def __init__(self, urls: bool = False, hub: bool = False) -> None:
        self.urls = urls
        self.hub = hub
        self._folder: TemporaryDirectory[str] | None = None

    def file(self, address: str) -> Path:
        """The file that an address stands for.

        Raises:
            FuseError: If such addresses are not fetched, or this one gives no file of 64 MiB at
                most in about 30 s.
        """
        # Data sets say zip://a.png::hf://... of a file in an archive.
        scheme = address.rpartition("::")[2].partition("://")[0].lower()
        name = shown(address)
        if scheme not in ("http", "https", "hf"):
            raise FuseError(f"image {name!r} is neither a file nor an http or https address")
        if not (self.hub if scheme == "hf" else self.urls and "::" not in address):
            raise FuseError(
                f"image {name!r} is an address, which is not fetched by default; "
                "give data.urls: true, or files"
            )
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="fuse-pictures-")
        path = Path(self._folder.name) / hashlib.sha256(address.encode()).hexdigest()
        if not path.exists():
            try:
                path.write_bytes(_complete(_hub(address) if scheme == "hf" else _http(address)))
            # The hub's client raises a type of its own for every way to fail.
            except Exception as error:
                # Others repeat the address, with what is not to be shown.
                told = " ".join(str(error).split()) if isinstance(error, OSError) else ""
                reason = told or type(error).__name__
                raise FuseError(
                    f"image {name!r} cannot be fetched ({reason}); check the address"
                ) from error
        return path


def shown(address: str) -> str:
    """An address without its password and its query, which may be a key."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return address
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def _complete(pieces: Iterator[bytes]) -> bytes:
    content = bytearray()
    late = time.monotonic() + PATIENCE
    with closing(pieces):  # type: ignore[type-var]
        for piece in pieces:
            content += piece
            if len(content) > LARGEST_FILE:
                raise OSError(f"it is larger than {LARGEST_FILE // 2**20} MiB")
            if time.monotonic() > late:
                raise OSError(f"it takes longer than {PATIENCE} s")
    return bytes(content)


def _http(address: str) -> Iterator[bytes]:
    # Python's own choice of handlers would follow a redirection to ftp.
    opener = OpenerDirector()
    for handler in (
        ProxyHandler,
        HTTPHandler,
        HTTPSHandler,
        HTTPRedirectHandler,
        HTTPDefaultErrorHandler,
        HTTPErrorProcessor,
        UnknownHandler,
    ):
        opener.add_handler(handler())
    request = Request(address, headers={"User-Agent": "fuse-lightning"})
    with opener.open(request, timeout=PATIENCE) as answer:
        while piece := answer.read1(PIECE):
            yield piece


def _hub(address: str) -> Iterator[bytes]:
    import fsspec

    with fsspec.open(address, "rb") as file:
        while piece := file.read(PIECE):
            yield piece
