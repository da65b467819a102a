"""Options of the floors of a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fuse_lightning.errors import FuseError

LABELS = "{labels}"
"""What stands for the labels in a stock instruction."""


@dataclass(frozen=True)
class FloorOptions:
    """Options of the floors of a verdict.

    Attributes:
        stock: Instructions, of which the best on the examples that choose is a floor.
            ``{labels}`` in them stands for the first word of each class. ``None`` for a dozen of
            the package's own, other ones for questions than for labelled texts.
        demonstrations: Train examples in a prompt of demonstrations, fewer where the model reads
            no more; 0 for no such floor.
        draws: Random draws of demonstrations, of which the best is a floor.
        separator: Text between two demonstrations.
        initial: A prompt of your own that others are compared with; by default the one that the
            search begins with, if it was given as a text.
        published: Published prompts for reasoning, by the name of the task, such as
            ``web_of_lies``. They are added to the package's own.
    """

    stock: list[str] | None = None
    demonstrations: int = 4
    draws: int = 8
    separator: str = "\n"
    initial: str | None = None
    published: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value, least in (
            ("demonstrations", self.demonstrations, 0),
            ("draws", self.draws, 1),
        ):
            if value < least:
                raise FuseError(f"floors.{name} is {value}; it must be at least {least}")
        if self.stock is not None and not all(text.strip() for text in self.stock):
            raise FuseError("floors.stock holds an empty text; remove it")
        if empty := [name for name, text in self.published.items() if not text.strip()]:
            raise FuseError(f"floors.published of {empty[0]!r} is an empty text; remove it")

    def instructions(self, words: Sequence[str], own: Sequence[str] = ()) -> list[str]:
        """The stock instructions for some words.

        Args:
            words: A word of each label; none where answers are open, and instructions that name
                labels are left out then.
            own: The package's instructions, which are taken where there are no others.

        >>> FloorOptions(stock=["Is it {labels}?"]).instructions(["good", "bad", "so so"])
        ['Is it good, bad or so so?']
        """
        stock = own if self.stock is None else self.stock
        if not words:
            return [text for text in stock if LABELS not in text]
        *first, last = words
        labels = f"{', '.join(first)} or {last}" if first else last
        return [text.replace(LABELS, labels) for text in stock]
