"""Base of proposers: where a search gets its next prompts from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch

from fuse_lightning.decoding.stream import Stream
from fuse_lightning.diffing.prompt_bank import BankEntry


class Proposer(ABC):
    """Base of proposers of prompts on which two models may diverge.

    A proposer keeps nothing between steps that its next proposals depend on, so that a resumed
    search proposes the same. All its random numbers come from the generator that it is given.

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
