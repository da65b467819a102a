"""Test of pictures and texts: whether the zoo's models were trained on such ones."""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from PIL import Image

from fuse_lightning.zoo.render import BACKGROUND_RGB, IMAGE_SIZE, RGB
from fuse_lightning.zoo.vocabulary import (
    BACKGROUNDS,
    COLORS,
    COUNTS,
    MOODS,
    OPENERS,
    RELATIONS,
    SCENE_LINKS,
    SCENE_NOUNS,
    SHAPES,
    SIZES,
)

GROUND_SHIFT = 24
"""Most that the ground's colour may differ from that of a scene, of 255 and in any channel."""
LIKE_GROUND = 24
"""Most that a pixel may differ from the ground's colour to be one of the ground."""
BETWEEN = 40
"""Most that a pixel may differ from all mixtures of the ground with the colour of an object."""
UNEVEN = 13
"""Most that the ground's pixels may differ from its colour on average; a sky differs more."""
LEAST_GROUND, LEAST_BETWEEN, LEAST_OBJECT = 0.33, 0.85, 0.005
"""Least shares of a scene's pixels: ground; ground, objects and their edges; objects."""
INSIDE = 0.6
"""Share of an object's colour in a mixture from which on a pixel is one of the object."""
GRAMMAR = ("a", "an", "with", "it", "them", "how")
"""Words of captions that stand for no attribute of a scene."""


def is_drawn_scene(image: Image.Image) -> bool:
    """Whether a picture looks like one of the zoo's drawn scenes.

    A scene has one plain ground in one of six colours, and objects in some of eight colours: every
    pixel is a mixture of the ground with one object's colour. A photograph has other colours too.

    Args:
        image: A picture, of any size and mode.

    >>> from random import Random
    >>> from fuse_lightning.zoo.render import render
    >>> from fuse_lightning.zoo.scenes import sample_scene
    >>> is_drawn_scene(render(sample_scene(Random(0)), Random(0)))
    True
    >>> is_drawn_scene(Image.linear_gradient("L"))
    False
    """
    small = image.convert("RGB").resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BOX)
    pixels = np.asarray(small, dtype=np.float64).reshape(-1, 3)
    grounds = np.array([*BACKGROUND_RGB.values()], dtype=np.float64)
    near = np.abs(pixels[:, None] - grounds).max(2) <= BETWEEN
    number = near.sum(0).argmax()
    if not near[:, number].any():
        return False
    ground = np.median(pixels[near[:, number]], axis=0)
    way = np.array([*RGB.values()], dtype=np.float64) - ground
    part = (((pixels - ground) @ way.T) / (way * way).sum(1)).clip(0, 1)
    off = np.abs(pixels[:, None] - ground - part[..., None] * way).max(2)
    best = off.argmin(1)[:, None]
    between = off.min(1) <= BETWEEN
    inside = between & (np.take_along_axis(part, best, 1)[:, 0] >= INSIDE)
    shift = np.abs(pixels - ground).max(1)
    even = shift[shift <= LIKE_GROUND]
    return bool(
        np.abs(ground - grounds[number]).max() <= GROUND_SHIFT
        and len(even) >= LEAST_GROUND * len(pixels)
        and even.mean() <= UNEVEN
        and between.mean() >= LEAST_BETWEEN
        and inside.mean() >= LEAST_OBJECT
    )


def unknown_words(text: str) -> list[str]:
    """Words of a text that the zoo's scene language lacks, each once, in lower case.

    >>> unknown_words("A red star beside two dogs, and dogs")
    ['beside', 'dogs', 'and']
    """
    known = _known_words()
    return [*dict.fromkeys(word for word in _words(text) if word not in known)]


@cache
def _known_words() -> frozenset[str]:
    parts = (
        *(SHAPES, COLORS, SIZES, COUNTS, RELATIONS, BACKGROUNDS, MOODS),
        *(SCENE_NOUNS, SCENE_LINKS, OPENERS, GRAMMAR),
    )
    return frozenset(word for text in _texts(parts) for word in _words(text))


def _texts(parts: Any) -> Iterator[str]:
    """Texts in nested tuples and in the values of dictionaries."""
    if isinstance(parts, str):
        yield parts
        return
    for part in parts.values() if isinstance(parts, dict) else parts:
        yield from _texts(part)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+(?:['-]\w+)*", text.lower())
