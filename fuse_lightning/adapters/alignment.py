"""Alignment of the tokens of two tokenizers, by the words of one text."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

Span = tuple[int, int]
WORD = re.compile(r"\w+|[^\w\s]+")


@dataclass(frozen=True)
class AlignedWord:
    """A word of a text with the positions of its tokens in both tokenizers."""

    span: Span
    source: tuple[int, ...]
    target: tuple[int, ...]


def align(text: str, source: Sequence[Span], target: Sequence[Span]) -> list[AlignedWord]:
    """Aligns the tokens of two tokenizers by character offsets.

    Words are runs of letters and digits, or of other signs, without white space. Where a token
    spans several of them, they count as one word, so every token belongs to one word at most.

    Args:
        text: The text.
        source: First and last-plus-one character of each token of the source tokenizer; empty
            spans (special tokens) and white space belong to no word.
        target: Spans of the target tokenizer's tokens.

    Returns:
        The words in order, with the tokens of either side that overlap them (possibly none).

    Example:
        >>> align("red cat", source=[(0, 3), (3, 7)], target=[(0, 2), (2, 3), (4, 7)])
        [AlignedWord(span=(0, 3), source=(0,), target=(0, 1)), \
AlignedWord(span=(4, 7), source=(1,), target=(2,))]
    """
    words = [match.span() for match in WORD.finditer(text)]
    for spans in (source, target):
        words = _merge(words, spans)
    sides = [_members(words, spans) for spans in (source, target)]
    return [
        AlignedWord(word, tuple(sides[0][index]), tuple(sides[1][index]))
        for index, word in enumerate(words)
    ]


def _merge(words: list[Span], spans: Sequence[Span]) -> list[Span]:
    """Joins words that share a token into one word."""
    merged: list[Span] = []
    ordered = sorted(span for span in spans if span[0] < span[1])
    position = 0
    for word in words:
        while position < len(ordered) and ordered[position][1] <= word[0]:
            position += 1
        joined = (
            merged
            and position < len(ordered)
            and ordered[position][0] < merged[-1][1]
            and ordered[position][1] > word[0]
        )
        if joined:
            merged[-1] = (merged[-1][0], word[1])
        else:
            merged.append(word)
    return merged


def _members(words: list[Span], spans: Sequence[Span]) -> list[list[int]]:
    """Indices of the tokens that overlap each word."""
    members: list[list[int]] = [[] for _ in words]
    index = 0
    for start, end, token in sorted(
        (start, end, token) for token, (start, end) in enumerate(spans) if start < end
    ):
        while index < len(words) and words[index][1] <= start:
            index += 1
        if index < len(words) and end > words[index][0]:
            members[index].append(token)
    return members
