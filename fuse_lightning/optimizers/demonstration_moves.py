"""Changes of a prompt of demonstrations: another one, another order, another instruction."""

import random
from collections.abc import Sequence
from typing import NamedTuple

from fuse_lightning.evaluation.drawn_examples import balanced_draw


class Composition(NamedTuple):
    """Parts of a prompt of demonstrations.

    Attributes:
        instruction: Number of the instruction before the demonstrations.
        numbers: Numbers of the train examples that are shown, in this order.
    """

    instruction: int
    numbers: tuple[int, ...]


def changed(
    made: Composition,
    groups: Sequence[Sequence[int]],
    count: int,
    instructions: int,
    rng: random.Random,
) -> Composition:
    """A random change of one part, or a fresh draw of all demonstrations.

    One demonstration becomes another train example, two change places, the instruction becomes
    another one, or all demonstrations are drawn anew, of all classes alike. Where there are fewer
    than ``count``, one may be added. All ways that are open are equally likely.

    >>> rng = random.Random(0)
    >>> changed(Composition(0, (1, 2)), [[1], [2]], 2, 1, rng).numbers
    (2, 1)

    Args:
        made: The composition that is changed.
        groups: Numbers of the examples that may be shown, by class.
        count: Most demonstrations.
        instructions: Number of instructions to choose among.
        rng: The random stream.
    """
    instruction, numbers = made.instruction, [*made.numbers]
    others = [number for group in groups for number in group if number not in numbers]
    ways = {
        "draw": True,
        "replace": bool(others and numbers),
        "order": len(numbers) > 1,
        "add": bool(others) and len(numbers) < count,
        "instruction": instructions > 1,
    }
    match rng.choice([way for way, is_open in ways.items() if is_open]):
        case "replace":
            numbers[rng.randrange(len(numbers))] = rng.choice(others)
        case "order":
            one, other = rng.sample(range(len(numbers)), 2)
            numbers[one], numbers[other] = numbers[other], numbers[one]
        case "add":
            numbers.insert(rng.randrange(len(numbers) + 1), rng.choice(others))
        case "instruction":
            instruction = rng.choice([n for n in range(instructions) if n != instruction])
        case _:
            numbers = balanced_draw(groups, min(count, sum(map(len, groups))), rng)
    return Composition(instruction, tuple(numbers))
