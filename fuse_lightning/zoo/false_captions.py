"""False and broken captions of zoo scenes, made from true ones."""

import random
from collections.abc import Iterator, Mapping
from typing import TypeVar

from fuse_lightning.zoo.scenes import Kind, NounPhrase, Scene, Wording
from fuse_lightning.zoo.vocabulary import BACKGROUNDS, COLORS, COUNTS, RELATIONS, SHAPES, SIZES

T = TypeVar("T")
NOUNS = frozenset(noun for nouns in SHAPES.values() for pair in nouns for noun in pair)


def edits(scene: Scene, wording: Wording) -> Iterator[tuple[str, str, Wording]]:
    """Wordings that differ from ``wording`` in one named attribute.

    Yields:
        The attribute ("color", "shape", "size", "count", "relation" or "background"), its
        false value, and the wording, one for each synonym of that value.
    """
    for place, phrase in enumerate(wording.phrases):
        kind = scene.kinds[wording.order[place]]
        for attribute, value, changed in _phrase_edits(kind, phrase):
            phrases = (*wording.phrases[:place], changed, *wording.phrases[place + 1 :])
            yield attribute, value, wording._replace(phrases=phrases)
    if wording.relation_word:
        true = next(name for name, words in RELATIONS.items() if wording.relation_word in words)
        for relation in _others(RELATIONS, true):
            for word in RELATIONS[relation]:
                yield "relation", relation, wording._replace(relation_word=word)
    if wording.background_word:
        for background in _others(BACKGROUNDS, scene.background):
            for word in BACKGROUNDS[background][wording.head == "scene"]:
                yield "background", background, wording._replace(background_word=word)


def exchanges(wording: Wording) -> list[Wording]:
    """Wordings in which two kinds have exchanged attributes; empty for one kind.

    Colours, shapes, counts if they differ, sizes if those that are named differ; then also colours
    and shapes together, which is false of the picture from the first noun on.
    """
    if len(wording.phrases) == 1:
        return []
    a, b = wording.phrases
    other_count = a.number != b.number
    other_size = bool(a.size_word and b.size_word) and _size(a) != _size(b)
    wanted: list[tuple[str, ...]] = [("color_word",), ("noun",)]
    wanted += [("number", "count_word")] if other_count else []
    wanted += [("size_word",)] if other_size else []
    wanted += [("color_word", "noun")] if other_count or other_size else []
    pairs = [
        (
            a._replace(**{name: getattr(b, name) for name in names}),
            b._replace(**{name: getattr(a, name) for name in names}),
        )
        for names in wanted
    ]
    return [wording._replace(phrases=phrases) for phrases in pairs]


def _size(phrase: NounPhrase) -> str:
    return next(name for name, words in SIZES.items() if phrase.size_word in words)


def _phrase_edits(kind: Kind, phrase: NounPhrase) -> Iterator[tuple[str, str, NounPhrase]]:
    for color in _others(COLORS, kind.color):
        for word in COLORS[color]:
            yield "color", color, phrase._replace(color_word=word)
    for shape in _others(SHAPES, kind.shape):
        for noun in SHAPES[shape]:
            yield "shape", shape, phrase._replace(noun=noun)
    for count in _others(COUNTS, kind.count):
        for word in COUNTS[count]:
            yield "count", str(count), phrase._replace(number=count, count_word=word)
    if phrase.size_word:
        for size in _others(SIZES, kind.size):
            for word in SIZES[size]:
                yield "size", size, phrase._replace(size_word=word)


def _others(values: Mapping[T, object], true: T) -> list[T]:
    """All values but the true one, in the order of ``values``, the same in every process.

    >>> _others({"red": 0, "blue": 0, "pink": 0}, "blue")
    ['red', 'pink']
    """
    return [value for value in values if value != true]


def corruptions(text: str, rng: random.Random) -> dict[str, str]:
    """Ungrammatical versions of a caption, by name; each differs from ``text``."""
    words = text.split()
    place = rng.randrange(len(words) - 1)
    swapped = [*words]
    swapped[place : place + 2] = reversed(words[place : place + 2])
    shuffled = rng.sample(words, len(words))
    noun = rng.choice([i for i, word in enumerate(words) if word.strip(",") in NOUNS])
    long = rng.choice([i for i, word in enumerate(words) if len(word) > 2])
    part = words[long][: rng.randrange(1, len(words[long]))]
    versions = {
        "shuffled": shuffled,
        "reversed": words[::-1],
        "swapped": swapped,
        "repeated": words[: place + 1] + words[place:],
        "no noun": words[:noun] + words[noun + 1 :],
        "broken": [*words[:long], part, *words[long + 1 :]],
        "cut": words[: rng.randrange(1, len(words))],
    }
    return {
        name: " ".join(version)
        for name, version in versions.items()
        if version != words
        and not (name == "cut" and version[-1].strip(",") in NOUNS)
        # Some nouns begin with another.
        and not (name == "broken" and part in NOUNS)
    }
