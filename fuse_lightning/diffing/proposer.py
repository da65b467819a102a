"""Base of proposers: where a search gets its next prompts from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence

import torch

from fuse_lightning.decoding.stream import Stream
from fuse_lightning.diffing.prompt_bank import BankEntry


class Proposer(ABC):
    """Base of proposers of prompts on which two models may diverge.

    A proposer keeps nothing between steps that its next proposals depend on, so that a resumed
    search proposes the same; counts, such as those of requests, go on by :meth:`kept`. All its
    random numbers come from the generator that it is given.

    Attributes:
        streams: The two loaded streams A and B, once a search has begun.
        seeds: Seed prompts of the target that is proposed for.
    """

    streams: Sequence[Stream] = ()
    seeds: Sequence[str] = ()

    def load(self, streams: Sequence[Stream]) -> None:
        """Takes the two loaded streams, before the first step.

        Raises:
            FuseError: If the proposer cannot use them.
        """
        self.streams = streams

    def kept(self) -> dict[str, int]:
        """Counts that a search keeps in its checkpoints, by name; by default none."""
        return {}

    def restore(self, counts: Mapping[str, int]) -> None:  # noqa: B027
        """Takes the counts of :meth:`kept` from a checkpoint."""

    @abstractmethod
    def propose(
        self, examples: Sequence[BankEntry], count: int, generator: torch.Generator
    ) -> list[str]:
        """New prompts, about ``count`` of them.

        What is a near-duplicate of a known prompt is refused before it is scored, and the proposer
        is asked once more.

        Args:
            examples: Scored prompts of the bank, most divergent first.
            count: How many prompts are wanted.
            generator: The target's random stream.
        """


def randint(generator: torch.Generator, end: int, begin: int = 0) -> int:
    """Random number from ``begin`` to ``end`` - 1.

    >>> randint(torch.Generator().manual_seed(0), 1)
    0
    """
    return int(torch.randint(begin, end, (), generator=generator))


def kept_by_all(proposers: Sequence[Proposer]) -> dict[str, int]:
    """Counts of several proposers in one, by class, number among those of the class, and name."""
    return {
        f"{place}.{name}": count
        for place, each in _places(proposers)
        for name, count in each.kept().items()
    }


def restore_all(proposers: Sequence[Proposer], counts: Mapping[str, int]) -> None:
    """Gives proposers their counts of :func:`kept_by_all`; others may have come or gone."""
    for place, each in _places(proposers):
        start = f"{place}."
        own = [name for name in counts if name.startswith(start)]
        each.restore({name.removeprefix(start): counts[name] for name in own})


def _places(proposers: Sequence[Proposer]) -> list[tuple[str, Proposer]]:
    alike: Counter[str] = Counter()
    found = []
    for each in proposers:
        kind = type(each).__name__
        found.append((f"{kind} {alike[kind]}", each))
        alike[kind] += 1
    return found
