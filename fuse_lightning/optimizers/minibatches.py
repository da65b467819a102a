"""Minibatches: the examples of a target that a step reads."""

from collections.abc import Sequence

import torch

from fuse_lightning.data import Target
from fuse_lightning.search.target_search import hash_seed


def minibatch(
    target: Target,
    step: int,
    size: int | None,
    seed: int,
    among: Sequence[int] | None = None,
) -> Sequence[int]:
    """Numbers of the examples that a step of a target reads.

    Examples come in turns, each in an order of its own. No example comes twice in a turn; those
    that do not fill a step are left out of it.

    Args:
        target: The target.
        step: Number of its step, from 0.
        size: Examples of a step; ``None`` for all.
        seed: Seed of the search.
        among: Numbers of the examples that steps may read; by default of all train examples.

    >>> target = Target("a", examples=[{"x": n} for n in range(4)])
    >>> sorted([*minibatch(target, 0, 2, seed=1), *minibatch(target, 1, 2, seed=1)])
    [0, 1, 2, 3]
    >>> sorted(minibatch(target, 0, 2, seed=1, among=[0, 3]))
    [0, 3]
    """
    numbers = range(len(target.examples)) if among is None else among
    count = len(numbers)
    if size is None or size >= count:
        return numbers
    turn, place = divmod(step, count // size)
    order = shuffled(count, seed, f"{target.id}/turn {turn}")
    return [numbers[n] for n in order[place * size : (place + 1) * size]]


def shuffled(count: int, seed: int, name: str) -> list[int]:
    """Numbers up to ``count`` in a random order, the same on every machine.

    >>> sorted(shuffled(4, 0, "a"))
    [0, 1, 2, 3]
    """
    generator = torch.Generator().manual_seed(hash_seed(seed, name))
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order


def choosing(target: Target, seed: int, among: Sequence[int] | None = None) -> list[int]:
    """Numbers of the examples by which prompts of a target are chosen, in the order of a race.

    Args:
        target: The target.
        seed: Seed of the search.
        among: Numbers of the train examples that choose where the target has no ``select``
            examples; by default all.
    """
    numbers = target.choosing if among is None or target.select else among
    return [numbers[place] for place in shuffled(len(numbers), seed, f"{target.id}/race")]
