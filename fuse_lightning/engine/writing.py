"""State of the texts of one ``generate`` call: their tokens, and how each ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.prefixes import Row
from fuse_lightning.engine.sampling import Sampling, noise

Ended = Literal["stop", "length", "full"]
"""Reason why a text ended: a stop, its last allowed token, or the model's longest input."""
FindStop = Callable[[Row], int | None]
"""Function from ids to the number of ids before a stop text; ``None`` without a stop text."""


@dataclass
class Limits:
    """Conditions that end a text.

    Attributes:
        new: Most tokens that are written.
        longest: Most tokens of prompt and text together.
        ids: Ids that end a text.
        text: Finds stop texts, which end a text as well.
        keep: Whether the stop stays in the text.
        then: Ids that follow a text that has ended, in place of the id that ended it. Behind them
            the model goes on, greedily. A stop text stays before them.
        more: Most tokens that are written behind these.
    """

    new: int
    longest: int
    ids: frozenset[int] = frozenset()
    text: FindStop | None = None
    keep: bool = False
    then: Row = ()
    more: int = 0

    @property
    def reserved(self) -> int:
        """Number of tokens that :attr:`then`, and what is written behind it, may take."""
        return len(self.then) + self.more


@dataclass
class Text:
    """Text under generation.

    Attributes:
        prompt: Ids before it.
        ids: Ids written so far.
        log_probs: Log-probability of each (nats), by the model itself, before temperature.
        ended: How it ended; ``None`` as long as it goes on.
        kept: How many of its tokens stand before the stop.
        first: How many of its tokens stand before ``then``; ``None`` as long as these go on, or
            where nothing follows.
        cut: How the tokens before ``then`` ended.
    """

    prompt: Row
    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    ended: Ended | None = None
    kept: int = 0
    first: int | None = None
    cut: Ended | None = None

    @property
    def row(self) -> Row:
        """Ids of prompt and text."""
        return (*self.prompt, *self.ids)

    def __len__(self) -> int:
        return len(self.prompt) + len(self.ids)


class Writing:
    """State of W texts under generation: chooses and stores their tokens.

    Args:
        prompts: Ids before each text.
        limits: Conditions that end a text.
        sampling: How tokens are chosen.
        vocab_size: Ids below this may be written.
        seed: Seed of all random numbers.
        streams: For each text its prompt's number and its own among the samples of the prompt,
            which its random numbers depend on.
    """

    def __init__(
        self,
        prompts: Sequence[Row],
        limits: Limits,
        sampling: Sampling,
        vocab_size: int,
        seed: int,
        streams: Sequence[tuple[int, int]],
    ) -> None:
        self.texts = [Text(prompt) for prompt in prompts]
        self.limits = limits
        self.sampling = sampling
        self.vocab_size = vocab_size
        self._noise = [
            None if sampling.greedy else noise(seed, stream, sample, limits.new)
            for stream, sample in streams
        ]

    def restart(self, number: int, length: int) -> None:
        """Cuts a text back to a length, counted from the prompt's first token."""
        text = self.texts[number]
        written = length - len(text.prompt)
        del text.ids[written:], text.log_probs[written:]
        text.ended = None
        if text.first is not None and written < text.first:
            text.first = text.cut = None

    def room(self, number: int, length: int) -> int:
        """Number of tokens that may be written behind a prompt and text of a length."""
        written = length - len(self.texts[number].prompt)
        return min(self.limits.new + self.limits.reserved - written, self.limits.longest - length)

    @torch.no_grad()
    def write(self, numbers: Sequence[int], logits: Tensor) -> None:
        """Writes the next token of some texts; ended texts stay as they are.

        Args:
            numbers: Numbers of N texts.
            logits: Next-token logits of each text, shape (N, W).
        """
        drawn = None
        if not self.sampling.greedy:
            drawn = torch.tensor([self._drawn(number) for number in numbers], dtype=torch.float64)
            if logits.device.type == "mps":
                drawn = drawn.float()
            drawn = to_device(drawn, logits.device)
        known = logits[:, : self.vocab_size]
        chosen = self.sampling.choose(known, drawn)
        if self.limits.reserved:
            chosen = self._guided(numbers, chosen, known.argmax(-1))
        told = logits.gather(1, chosen[:, None]).squeeze(1) - logits.logsumexp(-1)
        for number, token, log_prob in zip(numbers, chosen.tolist(), told.tolist(), strict=True):
            text = self.texts[number]
            if text.ended is None:
                text.ids.append(token)
                text.log_probs.append(log_prob)
                self._end(text)

    def _guided(self, numbers: Sequence[int], chosen: Tensor, likeliest: Tensor) -> Tensor:
        """Next tokens of texts that :attr:`Limits.then` follows.

        Args:
            numbers: Numbers of N texts.
            chosen: Token that each would go on with, shape (N,).
            likeliest: Likeliest token of each, shape (N,).
        """
        columns = zip(numbers, *torch.stack([chosen, likeliest]).tolist(), strict=True)
        tokens = [self._next(self.texts[number], *pair) for number, *pair in columns]
        return to_device(torch.tensor(tokens), chosen.device)

    def _next(self, text: Text, chosen: int, likeliest: int) -> int:
        if text.ended is None and text.first is None and chosen in self.limits.ids:
            text.first, text.cut = len(text.ids), "stop"
        if text.first is None:
            return chosen
        place = len(text.ids) - text.first
        return self.limits.then[place] if place < len(self.limits.then) else likeliest

    def _drawn(self, number: int) -> float:
        numbers, place = self._noise[number], len(self.texts[number].ids)
        return 0.0 if numbers is None or place >= len(numbers) else float(numbers[place])

    def _end(self, text: Text) -> None:
        """Records whether the last token ended the text, or what comes before ``then``."""
        text.kept = len(text.ids)
        if text.first is not None:
            self._end_behind(text)
            return
        ended: Ended | None = None
        before = self.limits.text and self.limits.text(tuple(text.ids))
        if text.ids[-1] in self.limits.ids:
            ended, text.kept = "stop", len(text.ids) - 1
        elif before is not None:
            ended, text.kept = "stop", before
        elif len(text.ids) >= self.limits.new:
            ended = "length"
        elif len(text) >= self.limits.longest - self.limits.reserved:
            ended = "full"
        if ended and self.limits.reserved:
            text.first, text.cut, text.kept = len(text.ids), ended, len(text.ids)
        else:
            text.ended = ended

    def _end_behind(self, text: Text) -> None:
        """Records whether the last token ended what stands behind the tokens that are given."""
        assert text.first is not None
        behind = len(text.ids) - text.first - len(self.limits.then)
        if behind > 0 and text.ids[-1] in self.limits.ids:
            text.ended, text.kept = "stop", len(text.ids) - 1
        elif behind >= self.limits.more:
            text.ended = "length"
