"""Changes of known prompts: words swapped, dropped and inserted, prompts joined and crossed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from fuse_lightning.diffing.prompt_bank import BankEntry
from fuse_lightning.diffing.proposer import Proposer, randint
from fuse_lightning.errors import FuseError

Words = list[str]


class TemplateMutation(Proposer):
    """Proposer that changes words of the bank's prompts, without any model.

    A prompt is changed one to ``changes`` times. A change swaps a word for another one, drops or
    inserts a word, cuts the prompt, joins it with another one, or crosses the two. New words and
    second prompts come from the examples, the seed prompts and ``words``.

    Args:
        changes: Most changes of a prompt.
        words: Further words, or parts of several words.

    Raises:
        FuseError: If ``changes`` is below 1.
    """

    def __init__(self, changes: int = 2, words: list[str] | None = None) -> None:
        if changes < 1:
            raise FuseError(f"changes of TemplateMutation is {changes}; give 1 or more")
        self.changes = changes
        self.words = words or []

    def propose(
        self, examples: Sequence[BankEntry], count: int, generator: torch.Generator
    ) -> list[str]:
        """Changed prompts."""
        texts = [entry.prompt.split() for entry in examples] or [t.split() for t in self.seeds]
        others = [*texts, *(seed.split() for seed in self.seeds)]
        words = [*dict.fromkeys([*(word for text in others for word in text), *self.words])]
        found = []
        for _ in range(count):
            text = texts[randint(generator, len(texts))]
            for _ in range(randint(generator, self.changes + 1, 1)):
                change = CHANGES[randint(generator, len(CHANGES))]
                text = change(text, others, words, generator)
            found.append(" ".join(text))
        return [text for text in found if text]


def _swap(text: Words, _: list[Words], words: Words, generator: torch.Generator) -> Words:
    if not text:
        return text
    at = randint(generator, len(text))
    return [*text[:at], words[randint(generator, len(words))], *text[at + 1 :]]


def _insert(text: Words, _: list[Words], words: Words, generator: torch.Generator) -> Words:
    at = randint(generator, len(text) + 1)
    return [*text[:at], words[randint(generator, len(words))], *text[at:]]


def _drop(text: Words, _: list[Words], __: Words, generator: torch.Generator) -> Words:
    if len(text) < 2:
        return text
    at = randint(generator, len(text))
    return [*text[:at], *text[at + 1 :]]


def _cut(text: Words, _: list[Words], __: Words, generator: torch.Generator) -> Words:
    return text[: randint(generator, len(text) + 1, 1)] if text else text


def _join(text: Words, others: list[Words], _: Words, generator: torch.Generator) -> Words:
    return [*text, *others[randint(generator, len(others))]]


def _cross(text: Words, others: list[Words], _: Words, generator: torch.Generator) -> Words:
    """Beginning of one text and end of another."""
    other = others[randint(generator, len(others))]
    return [
        *text[: randint(generator, len(text) + 1)],
        *other[randint(generator, len(other) + 1) :],
    ]


CHANGES: tuple[Callable[[Words, list[Words], Words, torch.Generator], Words], ...] = (
    _swap,
    _swap,
    _insert,
    _drop,
    _cut,
    _join,
    _cross,
)
"""Kinds of changes, equally likely; swaps twice."""
