"""Targets, for each of which a search finds prompts."""

import hashlib
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
    """Cache of picture digests, shared by targets of the same pictures.

    Attributes:
        pictures: The pictures that were read.
        digests: SHA-256 of each picture.
        checked: Whether each was found to be a picture.
    """

    pictures: Sequence[Picture] | None = None
    digests: list[str] = field(default_factory=list)
    checked: bool = False


Example = Mapping[str, Any]
"""One item of a target that holds many, such as a labelled text: plain data by name."""


@dataclass
class Target:
    """One thing to find a prompt for.

    Attributes:
        id: Name of the target in every result.
        pictures: Paths or other references of pictures; several stand for one target, such as a
            style. Only ``images`` holds them in memory.
        sentiment: Wanted label of a sentiment classifier.
        text: A text whose meaning is wanted.
        references: Known good captions, for evaluation.
        examples: Items of a target that holds many, such as labelled texts: plain data by name.
            The steps of a search read these.
        select: Items by which prompts are chosen; none to choose by ``examples`` too.
        test: Items that report the quality of prompts. No search reads them.
        labels: Classes of labelled examples, each with the words that stand for it; none where
            the answers of questions are open, such as numbers.
        answer: Kind of the right answers of questions, by which an answer is found in what a model
            wrote: "choice", "number", "yes_no", "word" or "list".
        extractor: Text between a chain of reasoning and its answer.
        metadata: Other columns of its row in the manifest.
        source: Origin of the target: paths or addresses, a table and its row, or a text.

    >>> target = Target("short", text="a red house")
    >>> target.id, target.digest[:12]
    ('short', '6f7973000c51')
    """

    id: str
    pictures: Sequence[Picture] = ()
    sentiment: str | None = None
    text: str | None = None
    references: Sequence[str] = ()
    examples: Sequence[Example] = ()
    select: Sequence[Example] = ()
    test: Sequence[Example] = ()
    labels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    answer: str = ""
    extractor: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: str = field(default="", compare=False)
    _known: _Known = field(default_factory=_Known, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Makes the id printable, as file names may hold bytes that are no text.

        Raises:
            FuseError: If the id is no text, or the text or a reference is no Unicode.
        """
        if not isinstance(self.id, str):
            raise FuseError(
                f"a target's id is {self.id!r}, of type {type(self.id).__name__}; give a text"
            )
        self.id = clean(self.id)
        self.source = self.source.encode(errors="backslashreplace").decode()
        try:
            "".join([self.text or "", self.extractor, *self.references]).encode()
        except UnicodeEncodeError as error:
            raise FuseError(
                f"target {self.id!r} has a text that is no Unicode; write it in UTF-8"
            ) from error
        try:
            json.dumps(self._items()).encode()
        except (TypeError, ValueError) as error:
            raise FuseError(
                f"target {self.id!r} has an example that is no plain data ({error}); give dicts "
                "of texts, numbers and lists of these"
            ) from error

    @cached_property
    def images(self) -> list[Image.Image]:
        """Upright RGB images of the pictures, read on first use and kept until ``release``.

        Raises:
            FuseError: If one is missing or broken.
        """
        return [read_image(file, name) for each in self.pictures for name, file in files(each)]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the target's pictures, text, sentiment, examples, labels and answers, in hex.

        Names, references and metadata do not count: targets of equal content are one search.

        Raises:
            FuseError: If a picture is missing.
        """
        content: dict[str, Any] = {"pictures": self._digests()}
        content |= {"sentiment": self.sentiment, "text": self.text}
        content |= self._items()
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def _items(self) -> dict[str, Any]:
        """The examples of each split, the labels and how answers are read, where there are some."""
        splits = {"examples": self.examples, "select": self.select, "test": self.test}
        found: dict[str, Any] = {
            name: [dict(example) for example in split] for name, split in splits.items() if split
        }
        if self.labels:
            found["labels"] = {name: list(words) for name, words in self.labels.items()}
        texts = {"answer": self.answer, "extractor": self.extractor}
        return found | {name: text for name, text in texts.items() if text}

    @property
    def seen(self) -> list[Example]:
        """Examples that a search may read, by their number: ``examples``, then ``select``.

        >>> Target("a", examples=[{"x": 1}], select=[{"x": 2}], test=[{"x": 3}]).seen
        [{'x': 1}, {'x': 2}]
        """
        return [*self.examples, *self.select]

    @property
    def choosing(self) -> range:
        """Numbers of the :attr:`seen` examples by which prompts are chosen.

        >>> Target("a", examples=[{"x": 1}], select=[{"x": 2}, {"x": 3}]).choosing
        range(1, 3)
        """
        return range(len(self.examples) if self.select else 0, len(self.seen))

    def tested(self) -> "Target":
        """Target whose examples are the ``test`` examples, in place of all others."""
        return replace(self, examples=self.test, select=(), test=())

    def release(self) -> None:
        """Frees the images in memory; they are read again on the next use."""
        self.__dict__.pop("images", None)

    def check_images(self) -> None:
        """Checks the headers of the pictures and computes their digests, once.

        Raises:
            FuseError: If one is missing or no picture.
        """
        known = self._known
        if not (known.checked and known.pictures is self.pictures):
            self._digests(check=True)

    def _digests(self, check: bool = False) -> list[str]:
        """SHA-256 of each picture, computed together, as rows of tables are read in order."""
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
        """Checks that the target has pictures.

        Raises:
            FuseError: If it has none; names the ``reader`` that needs them and the remedy
                ``otherwise``.
        """
        if not self.pictures:
            raise FuseError(
                f"target {self.id!r} has no image, which {reader} needs; "
                f"give data.images or {otherwise}"
            )


def joined(name: str, targets: Sequence[Target]) -> Target:
    """One target with the pictures of several checked targets."""
    whole = Target(name, [picture for target in targets for picture in target.pictures])
    digests = [digest for target in targets for digest in target._digests()]
    whole._known = _Known(whole.pictures, digests, checked=True)
    return whole


def distinct(targets: Iterable[Target]) -> list[Target]:
    """Targets without repetitions, each with an id of its own.

    Two targets are the same if their ids, sources, wanted sentiments and texts are. Where different
    targets have the same id, as rows of two manifests may, the later one's id adds its source.

    >>> a, b = Target("a", text="x", source="1"), Target("a", text="x", source="2")
    >>> [target.id for target in distinct([a, b, b])]
    ['a', 'a (2)']
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
