"""Grades of prompts beside their divergence."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from fuse_lightning.decoding.decoder import ContrastiveDecoder
from fuse_lightning.decoding.stream import Stream
from fuse_lightning.diffing.written_prompts import begins_alone, plain_streams
from fuse_lightning.errors import FuseError


class Grader(ABC):
    """Base of graders of prompts, whose grade counts by ``grade_weight`` of the bank.

    Attributes:
        streams: The two loaded streams A and B, once a search has begun.
    """

    streams: Sequence[Stream] = ()

    def load(self, streams: Sequence[Stream]) -> None:
        """Takes the two loaded streams, before the first step."""
        self.streams = streams

    @abstractmethod
    def grade(self, prompts: Sequence[str]) -> list[float]:
        """Grade of each prompt; higher is better.

        Args:
            prompts: The prompts, at least one.
        """


class Plainness(Grader):
    """Grader that prefers prompts which one of the models finds usual.

    The grade is the mean log-probability of a prompt's tokens (nats).

    Args:
        stream: The model that reads: "A" or "B".

    Raises:
        FuseError: If there is no such stream.
    """

    def __init__(self, stream: str = "B") -> None:
        if stream not in ("A", "B"):
            raise FuseError(f"stream of Plainness is {stream!r}; give A or B")
        self.stream = stream

    def load(self, streams: Sequence[Stream]) -> None:
        """Takes the models.

        Raises:
            FuseError: If a model reads no text from its first token on.
        """
        super().load(streams)
        if not begins_alone(streams):
            raise FuseError(
                "Plainness reads prompts from their first token on, and a model has no start of "
                "its own before it; give the models a start"
            )
        self._decoder = ContrastiveDecoder(plain_streams(streams), top=0)

    def grade(self, prompts: Sequence[str]) -> list[float]:
        """Mean log-probability of each prompt's tokens (nats)."""
        found = self._decoder.read([("", prompt) for prompt in prompts])
        values = (text.tokens.log_probs[self.stream] for text in found)
        return [sum(each) / len(each) for each in values]
