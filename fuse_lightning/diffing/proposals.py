"""Proposals of a step: what the proposers give, without what is known or cannot be read."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fuse_lightning.data import Target
from fuse_lightning.decoding.ensemble import Ensemble
from fuse_lightning.diffing.likeness import DuplicateFilter, ngram_vectors
from fuse_lightning.diffing.prompt_bank import BankEntry
from fuse_lightning.diffing.proposer import Proposer
from fuse_lightning.errors import FuseError
from fuse_lightning.models import SentenceEncoder
from fuse_lightning.utilities.terminal import quoted

logger = logging.getLogger(__name__)

TRIES = 4
"""Times that a proposer is asked for the prompts of one step."""


@dataclass(frozen=True)
class Proposal:
    """One prompt that is to be scored.

    Attributes:
        prompt: The prompt.
        proposer: Name of its proposer.
        vector: Its unit vector, shape (d,).
    """

    prompt: str
    proposer: str
    vector: Tensor


@dataclass(frozen=True)
class Collected:
    """Proposals of one step for one target, as one device hands them to others.

    Attributes:
        proposals: The proposals.
        refused: Number of near-duplicates that were refused.
        random: State of the target's random stream behind them.
    """

    proposals: list[Proposal]
    refused: int
    random: Tensor


@dataclass(frozen=True)
class Proposals:
    """Collector of prompts that two streams can read and that are not known yet.

    Attributes:
        ensemble: The streams.
        encoder: Loaded sentence encoder; ``None`` for hashed character n-grams.
        room: Tokens that must fit behind a prompt.
        longest: Most tokens of a prompt.
    """

    ensemble: Ensemble
    encoder: SentenceEncoder | None
    room: int
    longest: int

    def vectors(self, prompts: Sequence[str]) -> Tensor:
        """Unit vectors of prompts, shape (N, d), on the CPU."""
        if self.encoder is None or not prompts:
            return ngram_vectors(prompts)
        return self.encoder.text_features(self.encoder.encode(prompts)).cpu()

    def fits(self, prompt: str) -> bool:
        """Whether all streams read a prompt, and have room for a text behind it."""
        if not prompt.strip():
            return False
        try:
            rows = [stream.rows([prompt])[0] for stream in self.ensemble.streams]
        # A chat template may refuse a text.
        except FuseError:
            return False
        return self.ensemble.room(rows) >= self.room

    def is_short(self, prompt: str) -> bool:
        """Whether a prompt has no more tokens than are allowed."""
        batch = self.ensemble.model.encode([prompt], special=False)
        return int(batch.mask.sum()) <= self.longest

    def seeds(self, texts: Sequence[str], limit: float) -> list[str]:
        """Seed prompts without near-duplicates of others.

        Args:
            texts: The seed prompts.
            limit: Least cosine of a near-duplicate.

        Raises:
            FuseError: If a stream cannot read one.
        """
        for text in texts:
            if not self.fits(text):
                raise FuseError(
                    f"the seed prompt {quoted(text[:60])} cannot be read, or leaves no room for a "
                    f"text of {self.room} tokens; give another one, or lower max_new_tokens"
                )
        known = DuplicateFilter(limit, [], None)
        pairs = zip(texts, self.vectors(texts), strict=True)
        found = [text for text, vector in pairs if known.admits(text, vector)]
        if left := len(texts) - len(found):
            logger.warning("%d of %d seed prompts are near-duplicates of others", left, len(texts))
        return found

    def collect(
        self,
        proposers: Sequence[Proposer],
        examples: Sequence[BankEntry],
        known: DuplicateFilter,
        count: int,
        generator: torch.Generator,
    ) -> Collected:
        """New prompts, shared out among the proposers.

        Args:
            proposers: The proposers; each is asked a few times.
            examples: Scored prompts that they are shown.
            known: Filter of near-duplicates, which knows the new prompts afterwards.
            count: How many prompts are wanted.
            generator: The target's random stream.
        """
        found: list[Proposal] = []
        refused = 0
        for number, proposer in enumerate(proposers):
            # What one proposer could not give, the next ones may.
            end = len(found) + -(-(count - len(found)) // (len(proposers) - number))
            for _ in range(TRIES):
                if len(found) >= end:
                    break
                given = proposer.propose(examples, end - len(found), generator)
                texts = [text for text in map(str.strip, given) if self.fits(text)]
                texts = [text for text in texts if self.is_short(text)]
                for text, vector in zip(texts, self.vectors(texts), strict=True):
                    if len(found) >= end:
                        break
                    if known.admits(text, vector):
                        found.append(Proposal(text, type(proposer).__name__, vector))
                    else:
                        refused += 1
        return Collected(found, refused, generator.get_state())


def seed_texts(target: Target) -> list[str]:
    """Seed prompts that are the examples of a target.

    Raises:
        FuseError: If it has none.

    >>> seed_texts(Target("any", examples=[{"text": "a picture of"}]))
    ['a picture of']
    """
    found = [example.get("text") for example in target.examples]
    if not found or not all(isinstance(text, str) for text in found):
        raise FuseError(
            f"target {target.id!r} holds no seed prompts; give data as DivergencePrompts"
        )
    return [str(text) for text in found]
