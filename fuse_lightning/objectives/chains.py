"""Chains: what a language model writes between a question and its answer, remembered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from fuse_lightning.engine.prefixes import Row
from fuse_lightning.engine.row_cache import RowCache
from fuse_lightning.engine.writing import Ended
from fuse_lightning.models import CausalLM

MOST = 2**15
"""Most questions whose chains are remembered."""


@dataclass(frozen=True)
class Chain:
    """Chain that a model wrote, and what it wrote behind the extractor.

    Attributes:
        ids: Ids of the chain.
        answer: Ids behind the extractor, the likeliest ones.
        ended: How the chain ended: "stop" by the model, "length" or "full" where it was cut.
    """

    ids: Row
    answer: Row
    ended: Ended


@dataclass(frozen=True)
class Asked:
    """One question with a prompt, as a model reads it.

    Attributes:
        head: Ids up to where the chain begins.
        extractor: Ids between chain and answer.
        behind: Tokens that are written behind the extractor.
        stream: Number of the question's random stream, the same with every prompt.
    """

    head: Row
    extractor: Row
    behind: int
    stream: int


class ChainWriter:
    """Writer of chains, each of which is written once.

    Args:
        model: The model.
        most: Most tokens of a chain; 0 for answers without reasoning.
        count: Chains of each question.
        temperature: Divisor of the logits; 0 always takes the likeliest token.
        seed: Seed of the chains.
    """

    def __init__(
        self, model: CausalLM, most: int, count: int, temperature: float, seed: int
    ) -> None:
        self.model = model
        self.most = most
        self.count = count
        self.temperature = temperature
        self.seed = seed
        self.cache: RowCache | None = None
        """Keys and values of the chains that were written last."""
        self._known: dict[Asked, list[Chain]] = {}
        self._new: dict[Asked, list[Chain]] = {}

    def fits(self, asked: Asked) -> bool:
        """Whether the model has room for a chain of at least one token, and its answer."""
        reserved = len(asked.extractor) + asked.behind
        return len(asked.head) + reserved < self.model.max_tokens

    def known(self, asked: Asked) -> list[Chain]:
        """Remembered chains of a question; none if it is not known."""
        return self._known.get(asked, [])

    def remember(self, asked: Asked, chains: Sequence[Chain]) -> None:
        """Stores chains of a question."""
        self._known[asked] = [*chains]
        while len(self._known) > MOST:
            del self._known[next(iter(self._known))]

    def write(self, questions: Sequence[Asked]) -> list[list[Chain]]:
        """Chains of each question that fits, all unknown ones in one batch; none for the others."""
        groups: dict[tuple[Row, int], list[Asked]] = defaultdict(list)
        for asked in dict.fromkeys(questions):
            if asked not in self._known and self.fits(asked):
                groups[asked.extractor, asked.behind].append(asked)
        found = {asked: self._known[asked] for asked in questions if asked in self._known}
        for (extractor, behind), group in groups.items():
            write = self._chains if self.most else self._bare
            chains = write(group, extractor, behind)
            for place, asked in enumerate(group):
                found[asked] = chains[place * self.count : (place + 1) * self.count]
                self.remember(asked, found[asked])
                self._new[asked] = found[asked]
        return [found.get(asked, []) for asked in questions]

    def _chains(self, questions: Sequence[Asked], extractor: Row, behind: int) -> list[Chain]:
        written = self.model.generate(
            [asked.head for asked in questions],
            self.most,
            temperature=self.temperature,
            samples=self.count,
            seed=self.seed,
            streams=[asked.stream for asked in questions],
            then=extractor,
            then_tokens=behind,
            cache=True,
        )
        self.cache = written.cache
        return [
            Chain(ids[:first], ids[first + len(extractor) :], ended)
            for ids, first, ended in zip(written.ids, written.firsts, written.ended, strict=True)
        ]

    def _bare(self, questions: Sequence[Asked], extractor: Row, behind: int) -> list[Chain]:
        """Empty chains, with the answers right behind the questions."""
        rows = [(*asked.head, *extractor) for asked in questions]
        written = self.model.generate(rows, behind, cache=True)
        self.cache = written.cache
        return [Chain((), ids, "stop") for ids in written.ids for _ in range(self.count)]

    def take_new(self) -> dict[Asked, list[Chain]]:
        """Chains that were written since this was last asked for."""
        new, self._new = self._new, {}
        return new

    def take_cache(self) -> RowCache | None:
        """Keys and values of the chains that were written last, which are then let go."""
        cache, self.cache = self.cache, None
        return cache
