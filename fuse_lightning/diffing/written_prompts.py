"""Prompts that the models themselves write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch

from fuse_lightning.decoding.contrast import Contrast
from fuse_lightning.decoding.decoder import ContrastiveDecoder
from fuse_lightning.decoding.options import DecodingOptions
from fuse_lightning.decoding.stream import Stream
from fuse_lightning.diffing.prompt_bank import BankEntry
from fuse_lightning.diffing.proposer import Proposer, randint
from fuse_lightning.errors import FuseError

Author = Literal["a", "b", "both", "contrast"]
SEEDS = 2**31
"""Seeds that are drawn from a random stream."""


def plain_streams(streams: Sequence[Stream]) -> list[Stream]:
    """The models of streams, without prefix, chat, layers and temperature."""
    return [Stream(stream.model, adapted=stream.adapted) for stream in streams]


def begins_alone(streams: Sequence[Stream]) -> bool:
    """Whether each model can write without any text before."""
    return all(stream.model.start_ids for stream in streams)


class ModelProposer(Proposer):
    """Proposer whose prompts are texts that A, B or their amplified difference writes.

    A prompt is the first words of an example, of random number, and what a model writes behind
    them, up to the end of the line. Without any words it is an opening of the model's own.

    Args:
        author: Who writes: "a", "b", "both" in turn, or "contrast" for the difference of the models
            amplified in both directions, in turn.
        amplification: Weight x of the difference: the scores are (1 + x) A - x B, and the same of B
            and A.
        max_new_tokens: Most tokens that are written.
        temperature: Temperature of the writing.
        fresh: Share of the prompts that begin with no words of an example.

    Raises:
        FuseError: If an option is out of its range.
    """

    def __init__(
        self,
        author: Author = "contrast",
        amplification: float = 1.0,
        max_new_tokens: int = 12,
        temperature: float = 1.0,
        fresh: float = 0.25,
    ) -> None:
        if author not in get_args(Author):
            raise FuseError(f"author is {author!r}; give one of {', '.join(get_args(Author))}")
        if not 0 <= fresh <= 1:
            raise FuseError(f"fresh is {fresh}; give a share from 0 to 1")
        if not amplification >= 0:
            raise FuseError(f"amplification is {amplification}; give 0 or more")
        if max_new_tokens < 1:
            raise FuseError(f"max_new_tokens of ModelProposer is {max_new_tokens}; give 1 or more")
        if not temperature > 0:
            raise FuseError(f"temperature of ModelProposer is {temperature}; give one above 0")
        self.author = author
        self.amplification = amplification
        self.max_new_tokens = max_new_tokens
        self.temperature = temperature
        self.fresh = fresh

    def load(self, streams: Sequence[Stream]) -> None:
        """Takes the models, and makes a decoder for each way of writing."""
        super().load(streams)
        plain = plain_streams(streams)
        more = 1 + self.amplification, -self.amplification
        rules = {
            "a": [Contrast((1, 0))],
            "b": [Contrast((0, 1))],
            "both": [Contrast((1, 0)), Contrast((0, 1))],
            "contrast": [Contrast(more, alpha=0.1), Contrast(more[::-1], alpha=0.1)],
        }[self.author]
        self._decoders = [ContrastiveDecoder(plain, rule, top=0) for rule in rules]
        self._alone = begins_alone(plain)

    def propose(
        self, examples: Sequence[BankEntry], count: int, generator: torch.Generator
    ) -> list[str]:
        """Texts that the models write, with their first words from examples."""
        texts = [entry.prompt for entry in examples] or [*self.seeds]
        begins = [self._begin(texts, generator) for _ in range(count)]
        options = DecodingOptions(
            max_new_tokens=self.max_new_tokens,
            temperature=self.temperature,
            seed=randint(generator, SEEDS),
        )
        found = [""] * count
        for turn, decoder in enumerate(self._decoders):
            places = range(turn, count, len(self._decoders))
            some = [begins[place] for place in places]
            for text in decoder.write(some, options, numbers=places):
                found[places[text.prompt_number]] = text.prompt + text.text
        # A line is one prompt.
        lines = (text.strip().partition("\n")[0].strip() for text in found)
        return [line for line in lines if line and "\ufffd" not in line]

    def _begin(self, texts: Sequence[str], generator: torch.Generator) -> str:
        """First words of a random text; one that leaves at least a word to write."""
        alone = float(torch.rand((), generator=generator)) < self.fresh
        words = texts[randint(generator, len(texts))].split()
        most = max(1, len(words) - 1)
        kept = randint(generator, most + 1, 1)
        return "" if alone and self._alone else " ".join(words[:kept])
