"""Targets: what prompts are searched for."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import Any

from PIL import Image

from fuse_lightning.data.images import check_image, read_image
from fuse_lightning.data.pictures import Picture, content_digest, files
from fuse_lightning.errors import FuseError


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
    """

    id: str
    pictures: Sequence[Picture] = ()
    sentiment: str | None = None
    text: str | None = None
    references: Sequence[str] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Makes the name one that files can hold: a file's own may have bytes that are no text.

        Raises:
            FuseError: If the text, or a reference, is no Unicode.
        """
        self.id = self.id.encode(errors="backslashreplace").decode()
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
        pictures = [content_digest(*found) for each in self.pictures for found in files(each)]
        content = {"pictures": pictures, "sentiment": self.sentiment, "text": self.text}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def release(self) -> None:
        """Drops the pictures that were read; whoever asks for them again reads them again."""
        self.__dict__.pop("images", None)

    def check_images(self) -> None:
        """Reads the headers of the pictures.

        Raises:
            FuseError: If one is missing or no picture.
        """
        for each in self.pictures:
            for name, file in files(each):
                check_image(file, name)

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


@dataclass
class TargetBatch:
    """Targets that are searched together.

    Attributes:
        targets: The targets.
        done: Ids of those that have ended; whoever searches adds them.
    """

    targets: list[Target]
    done: set[str] = field(default_factory=set)


def joined(name: str, targets: Sequence[Target]) -> Target:
    """One target of the pictures of several."""
    return Target(name, [picture for target in targets for picture in target.pictures])


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
