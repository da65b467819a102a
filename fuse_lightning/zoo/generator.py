"""Generator of zoo scenes: reads a text, and draws what it describes."""

import random
from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from fuse_lightning.evaluation.generation import Generator
from fuse_lightning.zoo.reading import read_scene
from fuse_lightning.zoo.render import render
from fuse_lightning.zoo.vocabulary import SHAPES


def _nouns() -> dict[str, str]:
    """Every noun of a shape, with the first noun of the next shape, in the same number."""
    shapes = [*SHAPES.values()]
    following = [*shapes[1:], shapes[0]]
    return {
        noun: after[0][number]
        for pairs, after in zip(shapes, following, strict=True)
        for pair in pairs
        for number, noun in enumerate(pair)
    }


class SceneGenerator(Generator):
    """Generator of zoo scenes, exact: what a text names is what the picture shows.

    >>> SceneGenerator().generate(["two red balls in the snow"], 0)[0].size
    (64, 64)
    """

    name = "zoo/scenes"
    judge = "zoo/clip-judge"
    nouns = _nouns()

    def changes_one(self, before: str, after: str) -> bool:
        """Whether the shape of one kind of object is all that two texts differ in.

        >>> drawn = SceneGenerator()
        >>> drawn.changes_one("a red ball left of a blue star", "a red box left of a blue star")
        True
        >>> drawn.changes_one("a red ball left of a blue star", "a box left of a blue star")
        False
        """
        old, new = read_scene(before), read_scene(after)
        if len(old.kinds) != len(new.kinds):
            return False
        kept = [
            replace(kind, shape=own.shape) for kind, own in zip(new.kinds, old.kinds, strict=True)
        ]
        changed = sum(
            kind.shape != own.shape for kind, own in zip(new.kinds, old.kinds, strict=True)
        )
        return changed == 1 and replace(new, kinds=tuple(kept)) == old

    def draws(self, text: str) -> bool:
        """Whether a text names an object; without one the picture is an empty ground.

        >>> SceneGenerator().draws("two red balls"), SceneGenerator().draws("three trio in fog")
        (True, False)
        """
        return bool(read_scene(text).kinds)

    def generate(self, texts: Sequence[str], seed: int) -> list[Image.Image]:
        """Pictures of what texts describe; each has the same jitter."""
        return [render(read_scene(text), random.Random(f"scene-{seed}")) for text in texts]
