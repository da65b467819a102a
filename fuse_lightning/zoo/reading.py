"""Scene that a text of the zoo's language describes, whatever else the text holds."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fuse_lightning.zoo.scenes import OPPOSITE, Kind, Scene
from fuse_lightning.zoo.vocabulary import BACKGROUNDS, COLORS, COUNTS, RELATIONS, SHAPES, SIZES

SIZE, COUNT, BACKGROUND, RELATION = "large", 1, "fog", "left of"
"""What a scene has where its text does not say."""
MOST = 2
"""Kinds of objects that a scene holds."""


class _Phrase(NamedTuple):
    """A noun phrase: its place in the words, and what it names."""

    begin: int
    end: int
    kind: Kind


def read_scene(text: str) -> Scene:
    """Scene that a text describes: objects, how they lie to each other, and the background.

    An object is a colour word right before its noun. Count and size are those of the words since
    the object before. What the text does not name is filled in: one large object each, side by
    side, in fog. The third object and any later one are left out, and so is a repeated one.

    >>> read_scene("a tiny golden star underneath two red balls, how sweet").kinds
    (Kind(shape='circle', color='red', size='large', count=2), \
Kind(shape='star', color='yellow', size='small', count=1))
    """
    words = re.findall(r"\w+|[^\w\s]", text.lower())
    phrases = _phrases(words)
    kinds = [phrase.kind for phrase in phrases]
    background = _first(words, _backgrounds()) or BACKGROUND
    if len(kinds) < MOST:
        return Scene(tuple(kinds), None, background)
    first, second = phrases
    between, behind = words[first.end : second.begin], words[second.end :]
    # "A with B left of it" says how B lies to A, "A left of B" how A lies to B.
    if (relation := _first(between, RELATIONS)) is None:
        found = _first(behind, RELATIONS)
        relation = OPPOSITE[found] if found else RELATION
    if relation not in ("left of", "above"):
        return Scene((kinds[1], kinds[0]), OPPOSITE[relation], background)
    return Scene(tuple(kinds), relation, background)


def _phrases(words: Sequence[str]) -> list[_Phrase]:
    colors = {word: color for color, own in COLORS.items() for word in own}
    shapes = {noun: shape for shape, pairs in SHAPES.items() for pair in pairs for noun in pair}
    plural = {pair[1] for pairs in SHAPES.values() for pair in pairs}
    found: list[_Phrase] = []
    begin = 0
    for place in range(len(words) - 1):
        color, noun = words[place], words[place + 1]
        if color not in colors or noun not in shapes:
            continue
        before = words[begin:place]
        size = _last(before, SIZES) or SIZE
        count = _last(before, {str(count): own for count, own in COUNTS.items()})
        number = int(count or (2 if noun in plural else COUNT))
        kind = Kind(shapes[noun], colors[color], size, number)
        if not any((kind.shape, kind.color) == (p.kind.shape, p.kind.color) for p in found):
            found.append(_Phrase(place, place + 2, kind))
        begin = place + 2
    return found[:MOST]


def _backgrounds() -> Mapping[str, Sequence[str]]:
    return {name: [*ends, *adjectives] for name, (ends, adjectives) in BACKGROUNDS.items()}


def _places(words: Sequence[str], names: Mapping[str, Sequence[str]]) -> list[tuple[int, int, str]]:
    """Where the phrases of each name end, how long they are, and the name."""
    text = [*words]
    return [
        (at + len(parts), len(parts), name)
        for name, phrases in names.items()
        for phrase in phrases
        for parts in [phrase.split()]
        for at in range(len(text) - len(parts) + 1)
        if text[at : at + len(parts)] == parts
    ]


def _last(words: Sequence[str], names: Mapping[str, Sequence[str]]) -> str | None:
    """Name of the phrase that ends last; of several, of the longest."""
    return max(_places(words, names), default=(0, 0, None))[2]


def _first(words: Sequence[str], names: Mapping[str, Sequence[str]]) -> str | None:
    """Name of the phrase that begins first; of several, of the longest."""
    found = [(end - length, -length, name) for end, length, name in _places(words, names)]
    return min(found, default=(0, 0, None))[2]
