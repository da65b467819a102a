"""Features of a text: phrases, groups of words, forms of lines, marks, and lengths."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import regex

from fuse_lightning.decoding.sweep import percent
from fuse_lightning.diffing.phrases import Phrase
from fuse_lightning.diffing.units import AROUND, BEGIN, END, CutText, excerpt, shortened

NAMED = 8
"""Most words of a group that its claim names."""
SCRIPTS = (
    *("Latin", "Cyrillic", "Greek", "Han", "Hiragana", "Hangul", "Arabic", "Hebrew"),
    *("Devanagari", "Bengali", "Tamil", "Thai"),
)
WORD = regex.compile(r"[\p{L}\p{N}][\p{L}\p{M}\p{N}'’-]*")  # noqa: RUF001
SENTENCE_END = regex.compile(r"[.!?…。！？]+(?=\s|$|[\"'”’)])|(?<=[。！？])")  # noqa: RUF001


class Feature(ABC):
    """Base of features: a number for each text, 0 or 1 where it has something or not.

    Attributes:
        name: Name of the feature, which no other one has.
        unit: Unit of a difference of two means of it.
        is_rate: Whether it is 0 or 1 in each text.
        family: Name of what several features measure, each in its way; empty for a feature of its
            own kind. A difference of a family is told once.
    """

    name: str
    unit: str = "share of texts"
    is_rate: bool = True
    family: str = ""

    @abstractmethod
    def value(self, text: CutText) -> float:
        """The feature of one text."""

    @abstractmethod
    def claim(self, a: float, b: float) -> str:
        """One sentence that says the means of A's and of B's texts."""

    def example(self, text: CutText) -> str:
        """Part of a text that shows the feature; by default its beginning."""
        return excerpt(text.text, 0, AROUND)


@dataclass(frozen=True)
class PhraseFeature(Feature):
    """Feature: a text has a phrase, begins with it, or ends with it.

    Attributes:
        units: The units of the phrase. A text begins with one that has ``BEGIN``, and ends with
            one that has ``END``.
        spelled: The phrase as texts spell it.
        name: Name of the feature, of the two.

    >>> PhraseFeature((BEGIN, "Yes", ","), "Yes,").name
    "begins with 'Yes,'"
    """

    units: Phrase
    spelled: str
    name: str = field(init=False)

    def __post_init__(self) -> None:
        does = self._does("begins with", "ends with", "is", "has")
        object.__setattr__(self, "name", f"{does} {self.spelled!r}")

    @property
    def inner(self) -> Phrase:
        """The units without the beginning and the end of a text."""
        return tuple(unit for unit in self.units if unit not in (BEGIN, END))

    def _does(self, begins: str, ends: str, whole: str, inside: str) -> str:
        first, last = self.units[0] == BEGIN, self.units[-1] == END
        if first and last:
            return whole
        return begins if first else ends if last else inside

    def value(self, text: CutText) -> float:
        """1 where the text has the phrase, else 0."""
        return float(text.find(self.units) is not None)

    def claim(self, a: float, b: float) -> str:
        """The rates in words.

        >>> PhraseFeature(("so", "."), "so.").claim(0.57, 0)
        "'so.' is in 57 % of A's texts and in 0 % of B's."
        """
        does = self._does("begins", "ends", "is all of", "is in")
        again = " in" if does == "is in" else ""
        return f"{self.spelled!r} {does} {percent(a)} of A's texts and{again} {percent(b)} of B's."

    def example(self, text: CutText) -> str:
        """The phrase with what stands around it."""
        first = text.find(self.units)
        if first is None:
            return super().example(text)
        start, end = text.spans[first][0], text.spans[first + len(self.units) - 1][1]
        return excerpt(text.text, start, end)


@dataclass(frozen=True)
class WordsFeature(Feature):
    """Feature: a text has one of several words, in upper or lower case.

    Attributes:
        words: The words in small letters, two or more; those that tell most stand first.
        name: Name of the feature.
    """

    words: tuple[str, ...]
    name: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"has one of {self._named(len(self.words))}")

    def _named(self, most: int) -> str:
        return ", ".join(repr(shortened(word)) for word in self.words[:most])

    def _found(self, text: CutText) -> int | None:
        """Number of the first unit that is one of the words."""
        units = enumerate(text.units)
        return next((place for place, unit in units if unit.lower() in self.words), None)

    def value(self, text: CutText) -> float:
        """1 where the text has one of the words, else 0."""
        return float(self._found(text) is not None)

    def claim(self, a: float, b: float) -> str:
        """The rates in words.

        >>> WordsFeature(("fine", "nice")).claim(0.5, 0.25)
        "One of the words 'fine', 'nice' is in 50 % of A's texts and in 25 % of B's."
        """
        more = f" and {len(self.words) - NAMED} more" if len(self.words) > NAMED else ""
        rates = f"is in {percent(a)} of A's texts and in {percent(b)} of B's."
        return f"One of the words {self._named(NAMED)}{more} {rates}"

    def example(self, text: CutText) -> str:
        """The first of the words with what stands around it."""
        place = self._found(text)
        if place is None:
            return super().example(text)
        start, end = text.spans[place]
        return excerpt(text.text, start, end)


@dataclass(frozen=True)
class FormFeature(Feature):
    """Feature: a pattern is found in a text.

    Attributes:
        name: What is found, as the object of "has".
        pattern: The compiled regular expression.
        family: What it measures together with others.
    """

    name: str
    pattern: regex.Pattern[str]
    family: str = ""

    def value(self, text: CutText) -> float:
        """1 where the pattern is found, else 0."""
        return float(self.pattern.search(text.text) is not None)

    def claim(self, a: float, b: float) -> str:
        """The rates in words.

        >>> FORMS[0].claim(0.5, 0.25)
        "50 % of A's texts and 25 % of B's have a numbered line."
        """
        return f"{percent(a)} of A's texts and {percent(b)} of B's have {self.name}."

    def example(self, text: CutText) -> str:
        """What is found, with what stands around it."""
        found = self.pattern.search(text.text)
        if found is None:
            return super().example(text)
        return excerpt(text.text, found.start(), found.end())


@dataclass(frozen=True)
class NumberFeature(Feature):
    """Feature: a number that each text has, such as its length.

    Attributes:
        name: What is counted, in words that go behind "have".
        count: Function from a text to the number.
        unit: Unit of the number.
        family: What it measures together with others.
    """

    name: str
    count: Callable[[str], float]
    unit: str
    family: str = ""
    is_rate = False

    def value(self, text: CutText) -> float:
        """The number."""
        return float(self.count(text.text))

    def claim(self, a: float, b: float) -> str:
        """The means in words.

        >>> NUMBERS[0].claim(20, 35.5)
        "A's texts have 20 words on average, and B's have 35.5."
        """
        return f"A's texts have {_figure(a)} {self.name} on average, and B's have {_figure(b)}."


def _figure(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def words(text: str) -> int:
    """Number of words and numbers.

    >>> words("It's a well-known 5.")
    4
    """
    return len(WORD.findall(text))


def sentences(text: str) -> int:
    """Number of sentences, also of one that is cut off.

    >>> sentences("One. Two! And three"), sentences("")
    (3, 0)
    """
    parts = SENTENCE_END.split(text)
    return sum(WORD.search(part) is not None for part in parts)


def lines(text: str) -> int:
    """Number of lines that are not blank."""
    return sum(1 for line in text.split("\n") if line.strip())


def _share(of: str) -> Callable[[str], float]:
    pattern = regex.compile(of)

    def percent_of(text: str) -> float:
        shown = sum(not each.isspace() for each in text)
        return 100 * len(pattern.findall(text)) / shown if shown else 0.0

    return percent_of


def _per_sentence(text: str) -> float:
    return words(text) / max(1, sentences(text))


def _letters(text: str) -> float:
    found = WORD.findall(text)
    return sum(map(len, found)) / len(found) if found else 0.0


def _different(text: str) -> float:
    found = [each.lower() for each in WORD.findall(text)]
    return 100 * len({*found}) / len(found) if found else 0.0


FAMILIES = {
    # A text that is longer than the limit is cut off, and has no full stop there.
    "no full stop at its end": "length",
    "more than one line": "lines",
    "a blank line": "lines",
    "a comma": "commas",
    "a digit": "digits",
    "a word in capitals": "capitals",
}
"""Forms that measure the same as a number does."""
FORMS = tuple(
    FormFeature(name, regex.compile(pattern), FAMILIES.get(name, ""))
    for name, pattern in {
        "a numbered line": r"(?m)^[ \t]*\d{1,3}[.)][ \t]",
        "a line with a bullet": r"(?m)^[ \t]*[-*+•–][ \t]",  # noqa: RUF001
        "a heading": r"(?m)^#{1,6}[ \t]+\S",
        "a fence of code": r"(?m)^[ \t]*(?:```|~~~)",
        "code within a line": r"(?<!`)`[^`\n]+`(?!`)",
        "bold text": r"\*\*[^*\n]+\*\*|__[^_\n]+__",
        "a row of a table": r"(?m)^[ \t]*\|.*\|[ \t]*$",
        "a blank line": r"\n[ \t]*\n\s*\S",
        "more than one line": r"\S[ \t]*\n\s*\S",
        "a link": r"https?://",
        "a question mark": r"[?？]",  # noqa: RUF001
        "an exclamation mark": r"[!！]",  # noqa: RUF001
        "a comma": r"[,，、]",  # noqa: RUF001
        "a colon": r"[:：]",  # noqa: RUF001
        "a semicolon": r"[;；]",  # noqa: RUF001
        "a long dash": r"[–—]",  # noqa: RUF001
        "an ellipsis": r"…|\.\.\.",
        "quotation marks": r"[\"“”«»„]",
        "parentheses": r"[()（）]",  # noqa: RUF001
        "a digit": r"\p{N}",
        "a word in capitals": r"\b\p{Lu}{2,}\b",
        "an emoji": r"\p{Emoji_Presentation}|\p{Extended_Pictographic}",
        "no full stop at its end": r"[^.!?…。！？\"'”’)\s]\s*$",  # noqa: RUF001
        "a small letter at its beginning": r"^\s*\p{Ll}",
        **{f"{script} letters": rf"\p{{{script}}}" for script in SCRIPTS},
    }.items()
)
"""Forms of lines, marks and scripts."""
NUMBERS = (
    NumberFeature("words", words, "words", "length"),
    NumberFeature("sentences", sentences, "sentences", "length"),
    NumberFeature("lines", lines, "lines", "lines"),
    NumberFeature("words a sentence", _per_sentence, "words"),
    NumberFeature("letters a word", _letters, "letters"),
    NumberFeature("% different words", _different, "percentage points"),
    NumberFeature("% capitals", _share(r"\p{Lu}"), "percentage points", "capitals"),
    NumberFeature("% digits", _share(r"\p{N}"), "percentage points", "digits"),
    NumberFeature("% commas", _share(r"[,，、]"), "percentage points", "commas"),  # noqa: RUF001
)
"""Lengths and shares."""


def phrase_feature(phrase: Phrase, texts: Sequence[CutText]) -> PhraseFeature:
    """Feature of a phrase, spelled as the first of some texts that has it spells it."""
    spelled = next((each.spelled(phrase) for each in texts if each.find(phrase) is not None), "")
    return PhraseFeature(phrase, shortened(" ".join(spelled.split()) or spelled))
