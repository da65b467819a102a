"""Floors of a verdict: prompts that cost no search."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fuse_lightning.data.targets import Example, Target
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.answers import Labeller
from fuse_lightning.objectives import Objective
from fuse_lightning.objectives.layout import ANSWER

STOCK = (
    "Classify the text.",
    "Choose the right label.",
    "Read the text and name its class.",
    "Label the following text as {labels}.",
    "Is the following {labels}?",
    "Which of {labels} fits best?",
    "Answer with one of: {labels}.",
    "The possible answers are {labels}.",
    "You are an expert. Label the text as {labels}.",
    "Decide whether the text is {labels}.",
    "Read the following text carefully. Then answer {labels}.",
    "Below is a text. Say whether it is {labels}.",
)
"""Instructions that anybody would try first; ``{labels}`` stands for the classes' words."""

BEST_STOCK = "the best stock instruction"
"""Name of the floor of instructions."""


@dataclass(frozen=True)
class FloorOptions:
    """Options of the floors of a verdict.

    Attributes:
        stock: Instructions, of which the best on the examples that choose is a floor.
            ``{labels}`` in them stands for the first word of each class. ``None`` for a dozen of
            the package's own.
        demonstrations: Train examples in a prompt of demonstrations, fewer where the model reads
            no more; 0 for no such floor.
        draws: Random draws of demonstrations, of which the best is a floor.
        separator: Text between two demonstrations.
        initial: A prompt of your own that others are compared with; by default the one that the
            search begins with, if it was given as a text.
    """

    stock: list[str] | None = None
    demonstrations: int = 4
    draws: int = 8
    separator: str = "\n"
    initial: str | None = None

    def __post_init__(self) -> None:
        for name, value, least in (
            ("demonstrations", self.demonstrations, 0),
            ("draws", self.draws, 1),
        ):
            if value < least:
                raise FuseError(f"floors.{name} is {value}; it must be at least {least}")
        if self.stock is not None and not all(text.strip() for text in self.stock):
            raise FuseError("floors.stock holds an empty text; remove it")

    def instructions(self, words: Sequence[str]) -> list[str]:
        """The stock instructions for some words.

        >>> FloorOptions(stock=["Is it {labels}?"]).instructions(["good", "bad", "so so"])
        ['Is it good, bad or so so?']
        """
        *first, last = words
        labels = f"{', '.join(first)} or {last}" if first else last
        stock = STOCK if self.stock is None else self.stock
        return [text.replace("{labels}", labels) for text in stock]


@dataclass(frozen=True)
class Offer:
    """Prompts of a floor, of which the best on the examples that choose is taken.

    Attributes:
        name: Name of the floor in a sentence.
        texts: The prompts.
        labeller: Labeller that reads them.
        calibrated: Whether each class's mean is taken away.
        shown: Examples that each prompt shows with their classes; empty for none.
    """

    name: str
    texts: Sequence[str]
    labeller: Labeller
    calibrated: bool = False
    shown: Sequence[Sequence[Example]] = ()

    def judges(self, target: Target) -> Tensor:
        """Whether each example that chooses judges each prompt, shape (N, E).

        Whoever shows an example has told its class, and is not asked for it.
        """
        some = [target.seen[number] for number in target.choosing]
        shown = self.shown or [()] * len(self.texts)
        return torch.tensor([[each not in told for each in some] for told in shown])


def floor_offers(
    labeller: Labeller, target: Target, options: FloorOptions, seed: int
) -> list[Offer]:
    """All floors of a target.

    Args:
        labeller: Labeller by the search's own term, which was given the target.
        target: The target.
        options: Options of the floors.
        seed: Seed of the draws of demonstrations.
    """
    words = labeller.term.batch[0].verbalizers
    first = [words.words[words.of.index(number)] for number in range(len(words.classes))]
    offers = [
        Offer("the text alone", [""], _bare(labeller)),
        Offer("the template alone", [""], labeller),
        Offer("the calibrated template", [""], labeller, calibrated=True),
        Offer("the initial prompt", [options.initial] if options.initial else [], labeller),
        Offer(BEST_STOCK, options.instructions(first), labeller),
    ]
    if shown := drawn_demonstrations(labeller, target, options, seed):
        offers.append(Offer("the best demonstrations", [*shown], labeller, shown=[*shown.values()]))
    return [offer for offer in offers if offer.texts]


def _bare(labeller: Labeller) -> Labeller:
    """Labeller without a template: the example alone, and the answer behind."""
    term = labeller.term
    names = [name for name in term.form.names if name != ANSWER]
    fields = " ".join(f"{{{name}}}" for name in names)
    bare = type(term)(term.model, f"{{prompt}} {fields}{{answer}}", term.words, name=term.name)
    objective = Objective([bare], max_batch_tokens=labeller.objective.max_batch_tokens)
    objective.load(term.model.device)
    return Labeller(objective, bare)


def drawn_demonstrations(
    labeller: Labeller, target: Target, options: FloorOptions, seed: int
) -> dict[str, list[Example]]:
    """Random demonstrations: each draw holds train examples of all classes alike.

    A draw that leaves no room for the longest example of the target is shortened. Where the train
    examples choose, too, at least one of them is not shown.

    Returns:
        The prompts, each with the examples that it shows.
    """
    most = len(target.examples) if target.select else len(target.examples) - 1
    count = min(options.demonstrations, most)
    if count < 1:
        return {}
    term = labeller.term
    by_class: dict[int, list[int]] = {}
    for number in range(len(target.examples)):
        by_class.setdefault(int(term.batch[0].right[number]), []).append(number)
    found: dict[str, list[Example]] = {}
    for draw in range(options.draws):
        rng = random.Random(f"{seed}/{target.id}/{draw}")
        chosen = balanced_draw([*by_class.values()], count, rng)
        texts = [term.shown(0, number) for number in chosen]
        if kept := fitting(labeller, texts, options.separator):
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


def fitting(labeller: Labeller, shown: Sequence[str], separator: str) -> int:
    """Number of the last demonstrations that, joined, leave room for every example."""
    for begin in range(len(shown)):
        if labeller.fits(separator.join(shown[begin:])):
            return len(shown) - begin
    return 0
