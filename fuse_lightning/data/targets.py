"""Targets: what prompts are searched for."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image

from fuse_lightning.data.images import read_image
from fuse_lightning.errors import FuseError


@dataclass
class Target:
    """One thing to find a prompt for.

    Attributes:
        id: Its name in every result.
        paths: Pictures; several stand for one target, such as a style.
        sentiment: Wanted label of a sentiment classifier.
        text: A text whose meaning is wanted.
        references: Known good captions, for evaluation.
    """

    id: str
    paths: Sequence[Path] = ()
    sentiment: str | None = None
    text: str | None = None
    references: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Makes the name one that files can hold: a file's own may have bytes that are no text.

        Raises:
            FuseError: If the text is no Unicode.
        """
        self.id = self.id.encode(errors="backslashreplace").decode()
        try:
            (self.text or "").encode()
        except UnicodeEncodeError as error:
            raise FuseError(
                f"target {self.id!r} has a text that is no Unicode; write it in UTF-8"
            ) from error

    @cached_property
    def images(self) -> list[Image.Image]:
        """The pictures, upright RGB, read when first asked for."""
        return [read_image(path) for path in self.paths]

    def need_images(self, reader: str, otherwise: str) -> None:
        """Checks that there are pictures.

        Raises:
            FuseError: If there are none; names who ``reader`` is and what to do ``otherwise``.
        """
        if not self.paths:
            raise FuseError(
                f"target {self.id!r} has no image, which {reader} needs; "
                f"give data.images or {otherwise}"
            )


@dataclass
class TargetBatch:
    """Targets that are searched together.

    Attributes:
        targets: The targets.
        step: How many steps this batch has had.
        last: Whether this is its last step.
    """

    targets: list[Target]
    step: int
    last: bool
