"""Text of several streams with what each of them says of every token."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

MEASURES = ("kl", "reverse_kl", "js", "tv", "centred_l1")
"""Names of the divergences of two streams at one token."""
Ended = Literal["stop", "length", "full", "given"]
"""Reason why a text ended: a stop, its last allowed token, the longest input, or as given."""


@dataclass(frozen=True)
class Tokens:
    """Measures of the T tokens of a text, one number for each token.

    All come from distributions that each stream gives behind the prompt and the tokens before,
    without the temperature of sampling, mask or weights.

    Attributes:
        pieces: Text of each token; joined they are the text, with the name of the end token where
            one was written. A token that ends within a character is empty, and the last token of
            the character has it.
        ids: Id of each token.
        divergences: For each name in :data:`MEASURES` the divergence of the two compared streams
            at each token (nats; "tv" from 0 to 1; "centred_l1" in logits). Higher: more apart.
        log_probs: For each stream the log-probability of each token (nats).
        tops: For each stream its likeliest tokens at each place, with their probabilities.
    """

    pieces: tuple[str, ...]
    ids: tuple[int, ...]
    divergences: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    log_probs: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    tops: Mapping[str, tuple[tuple[tuple[str, float], ...], ...]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class ScoredText:
    """One text behind a prompt, written or read by several streams.

    Attributes:
        prompt: The prompt as it was given.
        text: The text behind it, without the stop that ended it.
        tokens: Measures of its tokens, the end token included where it was written.
        pair: Names of the two streams that were compared, A and B.
        prompt_number: Number of the prompt among those of the run.
        sample: Number of the text among the samples of its prompt.
        weights: Weight of each stream by its name; empty for given texts.
        ended: Reason why the text ended.
    """

    prompt: str
    text: str
    tokens: Tokens
    pair: tuple[str, str]
    prompt_number: int = 0
    sample: int = 0
    weights: Mapping[str, float] = field(default_factory=dict)
    ended: Ended = "given"

    def divergence(self, name: str = "kl") -> float:
        """Mean divergence per token (nats for "kl", "reverse_kl" and "js"); NaN without tokens."""
        values = self.tokens.divergences.get(name, ())
        return sum(values) / len(values) if values else math.nan

    def perplexity(self, stream: str) -> float:
        """Perplexity of the text's tokens under a stream, lower is better; NaN without tokens."""
        values = self.tokens.log_probs.get(stream, ())
        try:
            return math.exp(-sum(values) / len(values)) if values else math.nan
        # Beyond the largest float.
        except OverflowError:
            return math.inf

    def to_dict(self) -> dict[str, Any]:
        """The text as an object that JSON can hold, with means beside the tokens' numbers."""
        means = {name: self.divergence(name) for name in self.tokens.divergences}
        perplexities = {name: self.perplexity(name) for name in self.tokens.log_probs}
        told = asdict(self)
        return {**told, "divergences": means, "perplexities": perplexities}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> ScoredText:
        """The text of an object from :meth:`to_dict`, which JSON may have held."""
        tokens = told["tokens"]
        return cls(
            prompt=told["prompt"],
            text=told["text"],
            tokens=Tokens(
                tuple(tokens["pieces"]),
                tuple(tokens["ids"]),
                {name: tuple(values) for name, values in tokens["divergences"].items()},
                {name: tuple(values) for name, values in tokens["log_probs"].items()},
                {
                    name: tuple(tuple((text, p) for text, p in place) for place in places)
                    for name, places in tokens["tops"].items()
                },
            ),
            pair=(told["pair"][0], told["pair"][1]),
            prompt_number=told["prompt_number"],
            sample=told["sample"],
            weights=dict(told["weights"]),
            ended=told["ended"],
        )
