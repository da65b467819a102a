"""Texts of two models behind the same prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.terminal import quoted

Group = tuple[str, ...]
"""Texts of one origin behind one prompt."""


@dataclass(frozen=True)
class PairedTexts:
    """Texts of two models A and B behind the same P prompts.

    Attributes:
        prompts: The prompts, all different.
        a: For each prompt the texts of A, at least one.
        b: For each prompt the texts of B, at least one.
        amplified: For each prompt texts that show A's difference from B larger than it is; empty
            without such texts. They may help to find what differs, and never measure it.
        fresh: For each prompt further texts of A, at least one, from other random numbers; empty
            without such texts. Against them A's texts are those of a pair of identical models.

    Raises:
        FuseError: If a prompt comes twice, or has no text of A or of B.

    >>> PairedTexts(("Hi",), a=(("Hello.",),), b=((),))
    Traceback (most recent call last):
    fuse_lightning.errors.FuseError: the prompt 'Hi' has no text of B; give one or leave it out
    """

    prompts: tuple[str, ...]
    a: tuple[Group, ...]
    b: tuple[Group, ...]
    amplified: tuple[Group, ...] = ()
    fresh: tuple[Group, ...] = ()

    def __post_init__(self) -> None:
        check_different(self.prompts)
        groups = {"A": self.a, "B": self.b, "amplified A": self.amplified, "fresh A": self.fresh}
        for name, group in groups.items():
            if not group and name not in ("A", "B"):
                continue
            if len(group) != len(self.prompts):
                raise FuseError(
                    f"there are {len(self.prompts)} prompts, and texts of {name} behind "
                    f"{len(group)}; give some behind each"
                )
            for prompt, texts in zip(self.prompts, group, strict=True):
                if not texts:
                    raise FuseError(
                        f"the prompt {quoted(prompt)} has no text of {name}; give one or leave it "
                        "out"
                    )

    def behind(self, numbers: Sequence[int]) -> PairedTexts:
        """The texts behind some of the prompts.

        Args:
            numbers: Numbers of these prompts.
        """

        def some(group: tuple[Group, ...]) -> tuple[Group, ...]:
            return tuple(group[number] for number in numbers) if group else ()

        prompts = tuple(self.prompts[number] for number in numbers)
        return PairedTexts(
            prompts, some(self.a), some(self.b), some(self.amplified), some(self.fresh)
        )

    def halves(self, seed: int) -> tuple[PairedTexts, PairedTexts]:
        """Texts behind one half of the prompts and behind the other.

        The second half has one more prompt where their number is odd.

        Args:
            seed: Seed of the choice of prompts.
        """
        order = np.random.default_rng([seed, 0]).permutation(len(self.prompts))
        half = len(order) // 2
        return self.behind(sorted(order[:half])), self.behind(sorted(order[half:]))

    def identical(self, seed: int) -> PairedTexts:
        """A pair of which it is known that nothing differs.

        It is A's texts against fresh texts of A. Without fresh ones it is the texts of A and B,
        of which each prompt's are dealt out anew by chance.

        Args:
            seed: Seed of the chance.
        """
        if self.fresh:
            return PairedTexts(self.prompts, self.a, self.fresh)
        return self.shuffled(np.random.default_rng([seed, 1]))

    def shuffled(self, rng: np.random.Generator) -> PairedTexts:
        """The texts of A and B, of which each prompt's are dealt out anew by chance."""
        first, second = [], []
        for mine, theirs in zip(self.a, self.b, strict=True):
            both = (*mine, *theirs)
            order = rng.permutation(len(both))
            dealt = [both[place] for place in order]
            first.append(tuple(dealt[: len(mine)]))
            second.append(tuple(dealt[len(mine) :]))
        return replace(self, a=tuple(first), b=tuple(second), amplified=(), fresh=())


def check_different(prompts: Sequence[str]) -> None:
    """Checks that all prompts differ.

    Raises:
        FuseError: If one comes twice: its texts would count as those of two prompts.
    """
    seen: set[str] = set()
    for prompt in prompts:
        if prompt in seen:
            raise FuseError(
                f"the prompt {quoted(prompt)} is given twice; give it once, with more samples"
            )
        seen.add(prompt)
