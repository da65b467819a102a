"""Collection of the most divergent of many texts."""

from __future__ import annotations

import heapq
import math
from itertools import count

from fuse_lightning.decoding.scored_text import MEASURES, ScoredText
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.option_names import option

UNSORTED = "none"


class MostDivergent:
    """Collection that keeps some texts of many: the most divergent, or the first.

    Args:
        most: How many texts are kept.
        measure: Divergence whose mean per token counts; "none" keeps the first texts.

    Raises:
        FuseError: If there is no such measure.

    >>> from fuse_lightning.decoding.scored_text import Tokens
    >>> kept = MostDivergent(1, "kl")
    >>> for text, kl in ("a", 0.5), ("b", 2.0), ("c", 1.0):
    ...     kept.add(ScoredText("", text, Tokens((text,), (0,), {"kl": (kl,)}), ("A", "B")))
    >>> [text.text for text in kept.texts]
    ['b']
    """

    def __init__(self, most: int, measure: str) -> None:
        if measure not in (*MEASURES, UNSORTED):
            raise FuseError(
                f"{option('sort')} is {measure!r}; give one of {', '.join((*MEASURES, UNSORTED))}"
            )
        self.most = most
        self.measure = measure
        self._numbers = count()
        self._heap: list[tuple[float, int, ScoredText]] = []

    def add(self, text: ScoredText) -> None:
        """Takes a text into account."""
        value = 0.0 if self.measure == UNSORTED else text.divergence(self.measure)
        # Of equal ones the first stays.
        entry = (-math.inf if math.isnan(value) else value, -next(self._numbers), text)
        if len(self._heap) < self.most:
            heapq.heappush(self._heap, entry)
        elif self._heap:
            heapq.heappushpop(self._heap, entry)

    @property
    def texts(self) -> list[ScoredText]:
        """The texts that are kept, the most divergent first; the first ones in their order."""
        return [
            text for _, _, text in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)
        ]
