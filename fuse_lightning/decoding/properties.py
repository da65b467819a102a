"""Properties of texts, whose rate is counted along a path of weights."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import regex

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.numbers import check_number

SECONDS = 1.0
"""Longest time that a pattern may look at one text."""
HALF = 0.5
"""Grade from which a text counts as one with the property."""


class Property(ABC):
    """Base of properties that a text has or not.

    Attributes:
        name: Name in tables and files.
        description: What the property is, in words that go behind "texts".
    """

    name: str
    description: str

    @abstractmethod
    def grades(self, texts: Sequence[str], prompts: Sequence[str]) -> list[float]:
        """Grade of each text.

        Args:
            texts: Texts without their prompts.
            prompts: Prompt of each text.

        Returns:
            1 for a text with the property, 0 for one without it, a number between for a judged
            probability. NaN for a text that cannot be judged, such as one that is too long.
        """

    def holds(self, texts: Sequence[str], prompts: Sequence[str]) -> list[bool]:
        """Whether each text has the property: a grade of at least one half; false for NaN."""
        return [grade >= HALF for grade in self.grades(texts, prompts)]


class Pattern(Property):
    r"""Property: a regular expression is found in the text, behind the prompt.

    The rules are those of Python's ``re`` and the classes of the package ``regex``, such as
    ``\p{Greek}``. Some patterns, such as ``(a|aa)+$``, take a time that doubles with each
    character of some texts. A text that takes more than a second cannot be judged.

    Args:
        pattern: The regular expression. It may begin anywhere in the text.
        ignore_case: Whether upper and lower case are the same.
        multiline: Whether ``^`` and ``$`` also stand at the ends of lines.
        dotall: Whether ``.`` also stands for the end of a line.
        name: Name in tables and files; by default the pattern.

    Raises:
        FuseError: If the pattern is empty or no regular expression.

    >>> Pattern("sorry", ignore_case=True).grades(["Sorry, no.", "Sure."], ["Hi", "I am sorry"])
    [1.0, 0.0]
    >>> Pattern("(no").name
    Traceback (most recent call last):
    fuse_lightning.errors.FuseError: pattern '(no' is no regular expression: missing ) at position 3
    """

    def __init__(
        self,
        pattern: str,
        ignore_case: bool = False,
        multiline: bool = False,
        dotall: bool = False,
        name: str | None = None,
    ) -> None:
        if not pattern:
            raise FuseError("pattern is empty, which every text has; give a regular expression")
        flags = (regex.I * ignore_case) | (regex.M * multiline) | (regex.S * dotall)
        try:
            self.compiled = regex.compile(pattern, flags)
        except regex.error as error:
            raise FuseError(f"pattern {pattern!r} is no regular expression: {error}") from None
        self.pattern = pattern
        self.name = name or pattern
        self.description = f"that match '{pattern}'"

    def grades(self, texts: Sequence[str], prompts: Sequence[str]) -> list[float]:
        """1 for a text in which the pattern is found, else 0; NaN where it takes too long."""
        check_pairs(texts, prompts)
        return [self._grade(text) for text in texts]

    def _grade(self, text: str) -> float:
        try:
            return float(self.compiled.search(text, timeout=SECONDS) is not None)
        except TimeoutError:
            return math.nan


def at_least(grades: Sequence[float], threshold: float | None) -> list[float]:
    """Grades of 0 and 1 by a threshold; the grades themselves without one. NaN stays.

    >>> at_least([0.25, 0.75, math.nan], 0.5), at_least([0.25], None)
    ([0.0, 1.0, nan], [0.25])
    """
    if threshold is None:
        return [*grades]
    return [each if math.isnan(each) else float(each >= threshold) for each in grades]


def check_threshold(threshold: float | None) -> None:
    """Checks that a threshold of grades is a probability.

    Raises:
        FuseError: If it is not.
    """
    if threshold is not None:
        check_number("threshold", threshold, 0, 1)


def check_pairs(texts: Sequence[str], prompts: Sequence[str]) -> None:
    """Checks that there is a prompt for each text.

    Raises:
        FuseError: If there is not.
    """
    if len(texts) != len(prompts):
        raise FuseError(f"there are {len(texts)} texts, but {len(prompts)} prompts; give as many")
