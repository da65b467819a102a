r"""Words and marks that a text is cut into, so that phrases can be counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import regex

BEGIN, END = "\x02", "\x03"
"""Units that stand before the first word of a text, and behind its last one."""
AROUND = 60
"""Characters that an example shows before and behind what it is shown for."""
LONGEST_NAMED = 80
"""Most characters of a phrase that a claim names."""
BETWEEN = "\x1f"
"""Character between units in :attr:`CutText.joined`; no unit holds it."""
UNIT = regex.compile(
    r"\n+"
    # Scripts that put no space between words.
    r"|[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]\p{M}*"
    r"|\p{L}[\p{L}\p{M}\p{N}]*(?:['’-][\p{L}\p{N}][\p{L}\p{M}\p{N}]*)*"  # noqa: RUF001
    r"|\p{N}+(?:[.,:]\p{N}+)*"
    # A run of one mark, such as ... or **.
    r"|([^\s\p{L}\p{M}\p{N}\p{Cc}])\1*"
)


@dataclass(frozen=True)
class CutText:
    """One text with its units: words, numbers, marks, and ends of lines.

    Upper and lower case differ. White space other than ends of lines counts for nothing, and none
    counts at the ends of the text.

    Attributes:
        text: The text.
    """

    text: str

    @cached_property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """First character of each unit, and the one behind its last; ``BEGIN`` and ``END`` too."""
        inner = self.text.strip()
        start = self.text.find(inner)
        end = start + len(inner)
        found = [each.span() for each in UNIT.finditer(self.text, start, end)]
        return ((start, start), *found, (end, end))

    @cached_property
    def units(self) -> tuple[str, ...]:
        """The units, from ``BEGIN`` to ``END``.

        >>> CutText("Yes. It's 5!").units[1:-1]
        ('Yes', '.', "It's", '5', '!')
        """
        inner = (self.text[start:end] for start, end in self.spans[1:-1])
        return (BEGIN, *("\n" if unit[0] == "\n" else unit for unit in inner), END)

    @cached_property
    def joined(self) -> str:
        """The units in one, for :meth:`find` and for quick tests of containment."""
        return joined(self.units)

    def find(self, phrase: Sequence[str]) -> int | None:
        """Number of the unit at which a phrase first begins; ``None`` where it is not.

        >>> CutText("red, red star").find(["red", "star"])
        3
        """
        at = self.joined.find(joined(phrase))
        return None if at < 0 else self.joined[:at].count(BETWEEN)

    def spelled(self, phrase: Sequence[str]) -> str:
        """How the text spells a phrase that it has, with the white space between its units."""
        first = self.find(phrase)
        if first is None:
            return ""
        (start, _), (_, end) = self.spans[first], self.spans[first + len(phrase) - 1]
        return self.text[start:end]


def joined(units: Sequence[str]) -> str:
    """Units in one string, in which one phrase is part of another as strings are."""
    return BETWEEN + BETWEEN.join(units) + BETWEEN


def shortened(text: str) -> str:
    """A text as a claim names it: of a very long one the beginning.

    >>> shortened("short"), len(shortened(1000 * "a"))
    ('short', 80)
    """
    return text if len(text) <= LONGEST_NAMED else f"{text[: LONGEST_NAMED - 1]}…"


def excerpt(text: str, start: int, end: int) -> str:
    """Part of a text with what stands around it, in one line, with dots where something is cut off.

    Args:
        text: The text.
        start: Number of the part's first character.
        end: Number of the one behind its last.

    >>> excerpt("A red star." + 20 * " So it is.", 2, 5)
    'A red star. So it is. So it is. So it is. So it is. So it is. So…'
    """
    start, end = start - AROUND, end + AROUND
    inner = " ".join(text[max(start, 0) : end].split())
    return f"{'…' if start > 0 else ''}{inner}{'…' if end < len(text.rstrip()) else ''}"
