"""Minibatches: the examples of a target that a step reads."""

from collections.abc import Sequence

import torch

from fuse_lightning.data import Target
from fuse_lightning.search.target_search import hash_seed


def minibatch(target: Target, step: int, size: int | None, seed: int) -> Sequence[int]:
    """Numbers of the examples that a step of a target reads.

    Examples come in turns, each in an order of its own. No example comes twice in a turn; those
    that do not fill a step are left out of it.

    Args:
        target: The target.
        step: Number of its step, from 0.
        size: Examples of a step; ``None`` for all.
        seed: Seed of the search.

    >>> target = Target("a", examples=[{"x": n} for n in range(4)])
    >>> minibatch(target, 0, 2, seed=1), minibatch(target, 1, 2, seed=1)
    ([2, 0], [1, 3])
    """
    count = len(target.examples)
    if size is None or size >= count:
        return range(count)
    turn, place = divmod(step, count // size)
    order = shuffled(count, seed, f"{target.id}/turn {turn}")
    return order[place * size : (place + 1) * size]


def shuffled(count: int, seed: int, name: str) -> list[int]:
    """Numbers up to ``count`` in a random order, the same on every machine.

    >>> sorted(shuffled(4, 0, "a"))
    [0, 1, 2, 3]
    """
    generator = torch.Generator().manual_seed(hash_seed(seed, name))
    order: list[int] = torch.randperm(count, generator=generator).tolist()
    return order


def choosing(target: Target, seed: int) -> list[int]:
    """Numbers of the examples by which prompts of a target are chosen, in the order of a race."""
    numbers = target.choosing
    return [numbers[place] for place in shuffled(len(numbers), seed, f"{target.id}/race")]
