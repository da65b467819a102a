"""Demonstrations of a target: the train examples that prompts may show, and those that score."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Classification, Objective, Prompts
from fuse_lightning.objectives.row_values import by_reader
from fuse_lightning.optimizers.admission import Admission
from fuse_lightning.optimizers.choice import Choice
from fuse_lightning.optimizers.minibatches import shuffled
from fuse_lightning.optimizers.racing import Racing

TOGETHER = 1024
"""Most prompts that are laid out together."""


class TooLong(NamedTuple):
    """Length of a prompt that leaves a model no room for an example.

    Attributes:
        model: Id of the model.
        most: Tokens that it reads.
        length: Tokens that there are.
    """

    model: str
    most: int
    length: int


@dataclass(frozen=True)
class Pool:
    """Train examples of a target that prompts may show, and those that score prompts.

    Attributes:
        shown: Text of each example that may be shown, by its number.
        groups: Numbers of these examples, by class.
        scored: Numbers of the train examples that steps read. None of them is shown.
        longest: Numbers of the examples that take the most room, of all that are read.
    """

    shown: dict[int, str]
    groups: list[list[int]]
    scored: list[int]
    longest: list[int]


class ChoiceApart(Choice):
    """Choice that reads no train example that prompts may show.

    Args:
        objective: The objective.
        racing: Settings of the races.
        top: Places of a short list.
        seed: Seed of the order of examples.
        size: Examples of a step; ``None`` for all outside the pool.
        pools: Each target with its pool, by its id.
    """

    def __init__(
        self,
        objective: Objective,
        racing: Racing,
        top: int,
        seed: int,
        size: int | None,
        pools: Mapping[str, tuple[Target, Pool]],
    ) -> None:
        super().__init__(objective, racing, top, seed, size)
        self.pools = pools

    def applies(self, target: Target) -> bool:
        """Whether the target has a pool: then other examples are left for steps and the choice."""
        return target.id in self.pools

    def train(self, target: Target) -> Sequence[int]:
        """Numbers of the train examples outside the pool."""
        return self.pools[target.id][1].scored


def divided(labels: Sequence[str], size: int, seed: int, name: str) -> tuple[list[int], list[int]]:
    """Numbers of examples in two parts with the same share of each class, drawn by a seed.

    >>> shown, scored = divided(["good", "good", "bad", "bad", "bad", "bad"], 3, 0, "films")
    >>> [sorted(["good", "good", "bad", "bad", "bad", "bad"][n] for n in shown), len(scored)]
    [['bad', 'bad', 'good'], 3]

    Args:
        labels: Class of each example.
        size: Examples of the first part.
        seed: Seed of the search.
        name: Name of the target.
    """
    places: dict[int, float] = {}
    for label in dict.fromkeys(labels):
        numbers = [number for number, each in enumerate(labels) if each == label]
        order = shuffled(len(numbers), seed, f"{name}/pool/{label}")
        # Any beginning of the whole order then holds its share of every class.
        for place, index in enumerate(order):
            places[numbers[index]] = (place + 0.5) / len(numbers)
    order = sorted(places, key=lambda number: (places[number], number))
    return sorted(order[:size]), sorted(order[size:])


def pool_size(target: Target, size: int | None, count: int) -> int:
    """Number of a target's train examples that may be shown.

    Args:
        target: The target.
        size: The number that was asked for; ``None`` for half of them, or ``count`` if more.
        count: Demonstrations in a prompt.

    Raises:
        FuseError: If none would be left to score prompts by, or there are fewer than ``count``.
    """
    train = len(target.examples)
    found = max(count, (train + 1) // 2) if size is None else size
    option, value = ("count", count) if size is None else ("pool", size)
    if found >= train:
        raise FuseError(
            f"{option} is {value}, but target {target.id!r} has {train} train examples, and at "
            f"least one that is not shown must score the prompts; lower {option} or give more"
        )
    if found < count:
        raise FuseError(f"count is {count}, but pool only {size}; lower count or raise pool")
    return found


def build_pool(
    objective: Objective,
    admission: Admission,
    term: Classification,
    owner: int,
    parts: tuple[Sequence[int], Sequence[int]],
    target: Target,
    instruction: str,
) -> Pool:
    """Pool of a target, without the examples that no prompt can show.

    These are examples with a text that the constraints forbid or that the primary reads with a
    special token, and those that leave no room for the longest example.

    Args:
        objective: The objective, which was given the target.
        admission: Which prompts may stand.
        term: The term that shows examples.
        owner: Place of the target in the batch.
        parts: Numbers of the examples that may be shown, and of those that are scored.
        target: The target.
        instruction: Text before the demonstrations, with their separator.

    Raises:
        FuseError: If no example can be shown.
    """
    texts = {number: term.shown(owner, number) for number in parts[0]}
    states = objective.encode_prompts([*texts.values()])
    fit = [
        number
        for (number, text), state in zip(texts.items(), states, strict=True)
        if state and admission.constraints.admits(text) and not admission.holds_forbidden(state)
    ]
    if not fit:
        raise FuseError(
            f"no train example of target {target.id!r} can be shown: the constraints forbid their "
            "texts, or the model has no tokens for them; relax constraints"
        )
    whole = [f"{instruction}{texts[number]}" for number in fit]
    read = [*parts[1], *range(len(target.examples), len(target.seen))]
    longest = longest_examples(objective, min(whole, key=len), owner, read)
    found: dict[int, TooLong] = {}
    for begin in range(0, len(whole), TOGETHER):
        some = objective.encode_prompts(whole[begin : begin + TOGETHER])
        prompts = objective.prompts(some, [owner] * len(some))
        for row, told in without_room(objective, prompts, longest).items():
            found[begin + row] = told
    if len(found) == len(fit):
        least = min(found.values(), key=lambda told: told.length)
        raise FuseError(
            f"not one demonstration leaves room for the longest example of target {target.id!r}: "
            f"the shortest takes {least.length} tokens with it, but {least.model!r} reads "
            f"{least.most}; shorten the examples or the instruction"
        )
    shown = {number: texts[number] for row, number in enumerate(fit) if row not in found}
    groups: dict[str, list[int]] = {}
    for number in shown:
        groups.setdefault(target.examples[number]["label"], []).append(number)
    return Pool(shown, [*groups.values()], [*parts[1]], longest)


def longest_examples(
    objective: Objective, text: str, owner: int, numbers: Sequence[int]
) -> list[int]:
    """Numbers of the examples that take the most tokens, one for each model that reads them."""
    prompts = objective.prompts([objective.encode_prompt(text)], [owner])
    found: dict[int, None] = {}
    for term in objective.terms:
        if term.examples is None:
            continue
        best: dict[int, tuple[int, int]] = {}
        for begin in range(0, len(numbers), TOGETHER):
            reading = term.read(prompts, [numbers[begin : begin + TOGETHER]])
            for reader, rows in by_reader(reading):
                row = rows[int(reading.lengths[rows].argmax())]
                told = int(reading.lengths[row]), int(reading.example[row])
                best[reader] = max(best.get(reader, told), told)
        found.update(dict.fromkeys(number for _, number in best.values()))
    return [*found]


def without_room(
    objective: Objective, prompts: Prompts, examples: Sequence[int]
) -> dict[int, TooLong]:
    """Prompts that a model cannot read together with some examples, by their rows.

    Args:
        objective: The objective.
        prompts: N prompts of one target.
        examples: Numbers of the examples.
    """
    found: dict[int, TooLong] = {}
    if not prompts.states:
        return found
    for term in objective.terms:
        asked = None if term.examples is None else [examples] * len(prompts.states)
        reading = term.read(prompts, asked)
        for number, rows in by_reader(reading):
            model = term.models[number]
            lengths = reading.lengths[rows]
            pairs = zip(reading.of[rows].tolist(), lengths.tolist(), strict=True)
            for row, length in pairs:
                if length > model.max_tokens:
                    found[row] = TooLong(model.model_id, model.max_tokens, length)
    return found
