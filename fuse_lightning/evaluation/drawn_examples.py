"""Draws of demonstrations for a floor."""

import random
from collections.abc import Sequence

from fuse_lightning.data.targets import Example, Target
from fuse_lightning.evaluation.answerer import Answerer
from fuse_lightning.evaluation.floor_options import FloorOptions


def drawn_demonstrations(
    answerer: Answerer, target: Target, options: FloorOptions, seed: int
) -> dict[str, list[Example]]:
    """Random demonstrations: draws of train examples, of all classes alike.

    A draw that leaves no room for the longest example of the target is shortened. Where the train
    examples choose, too, at least one of them is not shown.

    Args:
        answerer: What answers with them; it was given the target.
        target: The target.
        options: Options of the floors.
        seed: Seed of the draws.

    Returns:
        The prompts, each with the examples that it shows.
    """
    most = len(target.examples) if target.select else len(target.examples) - 1
    count = min(options.demonstrations, most)
    if count < 1:
        return {}
    train = range(len(target.examples))
    groups = [[number for number in group if number in train] for group in answerer.groups]
    groups = [group for group in groups if group]
    found: dict[str, list[Example]] = {}
    for draw in range(options.draws):
        rng = random.Random(f"{seed}/{target.id}/{draw}")
        chosen = balanced_draw(groups, count, rng)
        texts = [answerer.example_text(number) for number in chosen]
        if kept := fitting(answerer, texts, options.separator):
            told = [target.examples[number] for number in chosen[-kept:]]
            found[options.separator.join(texts[-kept:])] = told
    return found


def balanced_draw(groups: Sequence[Sequence[int]], count: int, rng: random.Random) -> list[int]:
    """Random members of groups in a random order, of all groups alike as far as they reach.

    >>> sorted(balanced_draw([[1], [2, 3, 4]], 4, random.Random(0)))
    [1, 2, 3, 4]

    Args:
        groups: Members of each group, such as the numbers of a class's examples.
        count: How many, at most all.
        rng: The random stream.
    """
    shuffled = [rng.sample(group, len(group)) for group in groups]
    rng.shuffle(shuffled)
    # Group after group, so that all have as many, as far as they reach.
    turns = [
        group[n] for n in range(max(map(len, shuffled))) for group in shuffled if n < len(group)
    ]
    return rng.sample(turns[:count], count)


def fitting(answerer: Answerer, shown: Sequence[str], separator: str) -> int:
    """Number of the last demonstrations that, joined, leave room for every example.

    Args:
        answerer: What answers with them; it was given the target.
        shown: Texts of the demonstrations.
        separator: Text between two of them.
    """
    for begin in range(len(shown)):
        if answerer.fits(separator.join(shown[begin:])):
            return len(shown) - begin
    return 0
