"""Answers that are lists, in order."""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import ClassVar

from fuse_lightning.data.answer_kind import AnswerKind, Labels, Mention, cues, fold

_BETWEEN = re.compile(r"\s*(?:[,;\n•]|\band\b)\s*(?:\band\b)?\s*", re.IGNORECASE)
_BULLET = re.compile(r"^[ \t]*(?:[-*•]|\d{1,3}[.)])[ \t]+(?=\S)", re.MULTILINE)
_SPACE = re.compile(r"[^\S\n]+")
_END = re.compile(r"[.!?](?=\s|$)|\n")
_SIGNS = " .,;:!?\"'`*_$"


def items(text: str) -> list[str]:
    r"""Items of a text: what stands between commas, semicolons, lines and the word "and".

    >>> items("apple, banana and cherry."), items("1. red\n2. blue"), items("[a, b]")
    (['apple', 'banana', 'cherry'], ['red', 'blue'], ['a', 'b'])
    """
    parts = _parted(text)
    # Signs within signs, as in "- - a" or "[[a]]", are taken off one by one, so that the items
    # written in one line give the same items again.
    while (again := _parted(", ".join(parts))) != parts:
        parts = again
    return parts


def _parted(text: str) -> list[str]:
    text = _BULLET.sub("", _SPACE.sub(" ", text.strip())).strip()
    if re.fullmatch(r"[\[({].*[\])}][.]?", text, re.DOTALL) and re.search(r"\w", text):
        text = text.rstrip(".")[1:-1]
    return [part for piece in _BETWEEN.split(text) if (part := piece.strip(_SIGNS))]


class ListAnswer(AnswerKind):
    """Lists of words or signs, whose order counts.

    Items stand between commas, semicolons, lines, the word "and" or white space alone, which all
    count alike. In a chain the list is the rest of the sentence behind "the answer is", else the
    last line, from its colon on if it has one. Behind the extractor it is the first line.
    """

    name: ClassVar[str] = "list"

    def label(self, right: str) -> str | None:
        r"""The text in one line, its lines parted by commas; ``None`` if there is no item.

        >>> ListAnswer().label(" burley  mosaic "), ListAnswer().label("1. red\n2. blue")
        ('burley mosaic', 'red, blue')
        """
        right = right.strip()
        return (", ".join(items(right)) if "\n" in right else " ".join(right.split())) or None

    def key(self, answer: str) -> object:
        """The words of all items in order, without case and accents.

        >>> ListAnswer().same("Bela, burley and milky.", "bela burley milky")
        True
        >>> ListAnswer().same("burley, bela", "bela, burley"), ListAnswer().same("] }", "]}")
        (False, True)
        """
        found = items(answer)
        if not re.search(r"\w", "".join(found)):
            return tuple("".join(("".join(found) or answer).split()))
        return tuple(fold(word) for item in found for word in item.split())

    def _found(self, text: str, labels: Labels) -> Iterable[Mention]:
        starts = {*cues(text)}
        for begin, end in _blocks(text):
            block = text[begin:end]
            cuts = {start - begin for start in starts if begin < start < end}
            if not _BULLET.match(block):
                cuts |= {match.end() for match in _END.finditer(block)}
                cuts |= {block.rfind(": ") + 2} if ": " in block else set()
            for left, right in pairwise([0, *sorted(cuts), len(block)]):
                if told := ", ".join(items(block[left:right])) or block[left:right].strip():
                    yield Mention(told, begin + left, begin + right)


def _blocks(text: str) -> list[tuple[int, int]]:
    """Start and end of each line; the lines of a list with bullets are together."""
    found: list[tuple[int, int]] = []
    bulleted = False
    for line in re.finditer(r"[^\n]+", text):
        known, bulleted = bulleted, bool(_BULLET.match(line[0]))
        if known and bulleted:
            found[-1] = (found[-1][0], line.end())
        else:
            found.append(line.span())
    return found
