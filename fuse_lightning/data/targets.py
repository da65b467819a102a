"""Targets: what prompts are searched for."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from os.path import isfile
from pathlib import Path
from typing import Any

from lightning.pytorch.utilities import rank_zero_only
from PIL import Image

from fuse_lightning.data.images import check_image, read_image
from fuse_lightning.data.names import clean, some
from fuse_lightning.data.pictures import Picture, content_digest, files
from fuse_lightning.errors import FuseError

logger = logging.getLogger(__name__)


@dataclass
class _Known:
    """What was read of pictures; targets that are of the same pictures share it.

    Attributes:
        pictures: The pictures that it was read of.
        digests: SHA-256 of each.
        checked: Whether each was found to be a picture.
    """

    pictures: Sequence[Picture] | None = None
    digests: list[str] = field(default_factory=list)
    checked: bool = False


@dataclass
class Target:
    """One thing to find a prompt for.

    Attributes:
        id: Its name in every result.
        pictures: Paths of pictures, or where else they lie; several stand for one target, such
            as a style. None are held in memory, but by ``images``.
        sentiment: Wanted label of a sentiment classifier.
        text: A text whose meaning is wanted.
        references: Known good captions, for evaluation.
        metadata: Other columns of its row in the manifest.
        source: What it is of: a path or an address, several of them, a table and its row, a text.
    """

    id: str
    pictures: Sequence[Picture] = ()
    sentiment: str | None = None
    text: str | None = None
    references: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str = field(default="", compare=False)
    _known: _Known = field(default_factory=_Known, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Makes the name one that can be shown: a file's own may have bytes that are no text.

        Raises:
            FuseError: If the text, or a reference, is no Unicode.
        """
        self.id = clean(self.id)
        self.source = self.source.encode(errors="backslashreplace").decode()
        try:
            "".join([self.text or "", *self.references]).encode()
        except UnicodeEncodeError as error:
            raise FuseError(
                f"target {self.id!r} has a text that is no Unicode; write it in UTF-8"
            ) from error

    @cached_property
    def images(self) -> list[Image.Image]:
        """The pictures, upright RGB, read when first asked for and kept until ``release``.

        Raises:
            FuseError: If one is missing or broken.
        """
        return [read_image(file, name) for each in self.pictures for name, file in files(each)]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content that is searched for: pictures, text and sentiment, in hex.

        Names, references and metadata take no part: two targets of equal content are one search.

        Raises:
            FuseError: If a picture is missing.
        """
        content = {"pictures": self._digests(), "sentiment": self.sentiment, "text": self.text}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def release(self) -> None:
        """Drops the pictures that were read; whoever asks for them again reads them again."""
        self.__dict__.pop("images", None)

    def check_images(self) -> None:
        """Reads the headers of the pictures, and what the digest is made of, once.

        Raises:
            FuseError: If one is missing or no picture.
        """
        known = self._known
        if not (known.checked and known.pictures is self.pictures):
            self._digests(check=True)

    def _digests(self, check: bool = False) -> list[str]:
        """SHA-256 of each picture; all of a target is read at once, rows of tables in order."""
        known = self._known
        if known.pictures is not self.pictures or check:
            digests = []
            for each in self.pictures:
                for name, file in files(each):
                    # A pipe in the place of a picture would be waited for.
                    if check or (isinstance(file, Path) and not isfile(file)):
                        check_image(file, name)
                    digests.append(content_digest(name, file))
            known.pictures, known.digests, known.checked = self.pictures, digests, check
        return known.digests

    def need_images(self, reader: str, otherwise: str) -> None:
        """Checks that there are pictures.

        Raises:
            FuseError: If there are none; names who ``reader`` is and what to do ``otherwise``.
        """
        if not self.pictures:
            raise FuseError(
                f"target {self.id!r} has no image, which {reader} needs; "
                f"give data.images or {otherwise}"
            )


def joined(name: str, targets: Sequence[Target]) -> Target:
    """One target of the pictures of several, whose pictures have been checked."""
    whole = Target(name, [picture for target in targets for picture in target.pictures])
    digests = [digest for target in targets for digest in target._digests()]
    whole._known = _Known(whole.pictures, digests, checked=True)
    return whole


def distinct(targets: Iterable[Target]) -> list[Target]:
    """The targets, those that are given twice once, each with an id of its own.

    Two are the same if their ids, sources and wanted sentiments and texts are. Where others have
    the same id, as rows of two manifests, the later one's says its source too.
    """
    found: dict[str, Target] = {}
    repeated: dict[str, None] = {}
    for target in targets:
        while (other := found.get(target.id)) and _content(other) != _content(target):
            target.id = clean(f"{target.id} ({target.source})")
        if other:
            repeated[target.id] = None
        found.setdefault(target.id, target)
    _tell(repeated)
    return [*found.values()]


def _content(target: Target) -> tuple[str | None, ...]:
    return target.source, target.sentiment, target.text


@rank_zero_only
def _tell(repeated: dict[str, None]) -> None:
    if repeated:
        logger.warning("given more than once, searched once: %s", some(repeated))
