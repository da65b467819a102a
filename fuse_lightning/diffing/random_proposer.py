"""Random prompts: the baseline of all proposers."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from fuse_lightning.decoding.prompt_sources import PromptSources
from fuse_lightning.decoding.stream import Stream
from fuse_lightning.diffing.prompt_bank import BankEntry
from fuse_lightning.diffing.proposer import Proposer, randint
from fuse_lightning.diffing.written_prompts import ModelProposer, begins_alone
from fuse_lightning.errors import FuseError


class RandomProposer(Proposer):
    """Proposer of random texts, which learns nothing from the bank: the baseline.

    The texts come from a pool, or are what the two models write from their start in turn.

    Args:
        pool: Texts, files with a text a line (``.txt``), tables or data sets to draw from;
            ``None`` for texts that the models write.
        column: Column of tables that holds the texts.
        split: Split of data sets.
        max_new_tokens: Most tokens of a text that a model writes.

    Raises:
        FuseError: If an option is out of its range.
    """

    def __init__(
        self,
        pool: str | list[str] | None = None,
        column: str | None = None,
        split: str | None = None,
        max_new_tokens: int = 12,
    ) -> None:
        self.pool = [pool] if isinstance(pool, str) else pool
        self.sources = PromptSources(column, split, option="pool")
        self.max_new_tokens = max_new_tokens
        self._writer = ModelProposer("both", max_new_tokens=max_new_tokens, fresh=1.0)
        self._texts: list[str] = []

    def load(self, streams: Sequence[Stream]) -> None:
        """Reads the pool.

        Raises:
            FuseError: If it cannot be read; or if there is none, and a model writes nothing
                without a text before.
        """
        super().load(streams)
        if self.pool is not None:
            self._texts = [*dict.fromkeys(self.sources.read(self.pool))]
            return
        if not begins_alone(streams):
            raise FuseError(
                "RandomProposer has no pool, and a model has no start of its own to write from; "
                "give a pool, or a start to the models"
            )
        self._writer.load(streams)

    def propose(
        self, examples: Sequence[BankEntry], count: int, generator: torch.Generator
    ) -> list[str]:
        """Random texts; the examples do not matter."""
        if self.pool is None:
            self._writer.seeds = self.seeds
            return self._writer.propose(examples, count, generator)
        return [self._texts[randint(generator, len(self._texts))] for _ in range(count)]
