"""Verbalizers: the words that stand for the classes of a labelled set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fuse_lightning.data.names import some as told
from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.nearest import did_you_mean

NONE = -1e30
"""Logit of a class that a target does not have; finite, so that its gradient is 0."""
Words = Mapping[str, str | Sequence[str]]
"""One word, or several, by class."""


@dataclass(frozen=True)
class Verbalizers:
    """Words of the classes of one target.

    Attributes:
        classes: Names of the classes, in order.
        words: All words, class after class.
        of: Number of the class that each word stands for.
    """

    classes: tuple[str, ...]
    words: tuple[str, ...]
    of: tuple[int, ...]

    @classmethod
    def read(cls, target: Target, own: Words | None, term: str) -> Verbalizers:
        """Words of a target's classes.

        Args:
            target: The target.
            own: Words in place of those of the target; ``None`` for these.
            term: Name of the term, for errors.

        Raises:
            FuseError: If there are no two classes, or one of them has no word.
        """
        classes = tuple(target.labels)
        if len(classes) < 2:
            raise FuseError(
                f"target {target.id!r} has {len(classes)} classes, but {term} needs at least 2; "
                "give it labelled examples"
            )
        given: Words = target.labels if own is None else own
        words, of = [], []
        for number, name in enumerate(classes):
            found = given.get(name, ())
            some = [found] if isinstance(found, str) else [*found]
            if not some or not all(isinstance(word, str) and word.strip() for word in some):
                other = next((each for each in given if each not in classes), None)
                remedy = (
                    f"give it one in words of {term} or in data.labels"
                    if other is None
                    else f"words of {term} has {other!r}, which is no class of it; "
                    f"{did_you_mean(other, classes)}its classes are {told(classes)}"
                )
                raise FuseError(f"class {name!r} of target {target.id!r} has no word; {remedy}")
            words += [word.strip() for word in some]
            of += [number] * len(some)
        return cls(classes, tuple(words), tuple(of))

    def check(self, ids: Sequence[tuple[int, ...]], target: str) -> None:
        """Checks that no two words are read as the same tokens.

        Args:
            ids: Tokens of each word.
            target: Id of the target, for errors.

        Raises:
            FuseError: If two are.
        """
        known: dict[tuple[int, ...], int] = {}
        for number, tokens in enumerate(ids):
            other = known.setdefault(tokens, number)
            if other != number:
                first, second = (self.classes[self.of[n]] for n in (other, number))
                raise FuseError(
                    f"words {self.words[other]!r} of class {first!r} and {self.words[number]!r} of "
                    f"class {second!r} of target {target!r} are read as the same tokens; give one "
                    "of them another word"
                )

    def class_logits(self, words: Tensor) -> Tensor:
        """Log probabilities of classes from those of their words, not normalized.

        Args:
            words: Log probability of each word, shape (M, W) or wider.

        Returns:
            Shape (M, C).
        """
        if len(self.words) == len(self.classes):
            return words[:, : len(self.classes)]
        of = torch.tensor(self.of, device=words.device)
        there = words[:, : len(self.words)]
        parts = [
            there.masked_fill(of != number, NONE).logsumexp(1)
            for number in range(len(self.classes))
        ]
        return torch.stack(parts, dim=1)
