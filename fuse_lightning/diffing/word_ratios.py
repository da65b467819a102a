"""Log-ratios of the words of texts: how much likelier A finds each of them than B."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Sequence
from itertools import accumulate
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array

from fuse_lightning.decoding.scored_text import ScoredText
from fuse_lightning.diffing.phrases import WORDY
from fuse_lightning.diffing.units import CutText

Floats = NDArray[np.float64]
LARGEST = 20.0
"""Largest log-ratio of a token that counts (nats); a token may have the probability 0."""


class Place(NamedTuple):
    """One place of a word in a text.

    Attributes:
        word: The word in small letters.
        ratio: log p_A - log p_B of the word there (nats).
        start: Number of its first character in the text.
        end: Number of the one behind its last.
    """

    word: str
    ratio: float
    start: int
    end: int


def word_ratios(text: ScoredText) -> list[Place]:
    """Log-ratios of the words of a text, in their order.

    That of a word is the sum over its tokens. A token belongs to the word in which its first
    character lies, white space left aside. So it does not matter how a tokenizer cuts words.

    Args:
        text: A text with the log-probabilities of both streams of its pair.

    >>> from fuse_lightning.decoding.scored_text import Tokens
    >>> log_probs = {"a": (-1.0, -1.0, -2.0, -1.0), "b": (-1.5, -2.0, -2.5, -4.0)}
    >>> tokens = Tokens(("A", " love", "ly", "."), (1, 2, 3, 4), {}, log_probs)
    >>> word_ratios(ScoredText("", "A lovely.", tokens, ("a", "b")))[1]
    Place(word='lovely', ratio=1.5, start=2, end=8)
    """
    cut = CutText(text.text)
    spans = cut.spans[1:-1]
    starts = [start for start, _ in spans]
    begins = [*accumulate(map(len, text.tokens.pieces), initial=0)][:-1]
    a, b = (text.tokens.log_probs[name] for name in text.pair)
    sums: dict[int, float] = defaultdict(float)
    for piece, begin, likely, other in zip(text.tokens.pieces, begins, a, b, strict=True):
        first = begin + len(piece) - len(piece.lstrip())
        unit = bisect_right(starts, first) - 1
        if unit >= 0 and first < spans[unit][1] and piece.strip():
            ratio = 0.0 if likely == other else likely - other
            sums[unit] += min(max(ratio, -LARGEST), LARGEST)
    return [
        Place(word.lower(), ratio, *spans[unit])
        for unit, ratio in sorted(sums.items())
        if WORDY.search(word := cut.units[unit + 1])
    ]


class WordTable:
    """Log-ratios of all words of texts, by prompt.

    Args:
        texts: For each text the number of its prompt, and its words.

    Attributes:
        words: The W words, in their order.
        sums: Sum of each word's log-ratios over the texts of each prompt, shape ``(P, W)``.
        places: Number of places of each word in these texts, shape ``(P, W)``.
        texts: Number of texts of each prompt, shape ``(P,)``.
    """

    def __init__(self, texts: Sequence[tuple[int, Sequence[Place]]]) -> None:
        prompts = {number: row for row, number in enumerate(dict(texts))}
        rows, found, ratios = [], [], []
        counts = np.zeros(len(prompts))
        for number, places in texts:
            row = prompts[number]
            counts[row] += 1
            for place in places:
                rows.append(row)
                found.append(place.word)
                ratios.append(place.ratio)
        self.words = sorted({*found})
        column = {word: place for place, word in enumerate(self.words)}
        where = (rows, [column[word] for word in found])
        shape = (len(prompts), len(self.words))
        # Entries of both stand in one order, zeros too.
        self.sums = csc_array((np.array(ratios, dtype=np.float64), where), shape)
        self.places = csc_array((np.ones(len(found)), where), shape)
        self.texts: Floats = counts

    @property
    def ratios(self) -> csc_array:
        """Mean log-ratio of each word over its places behind each prompt, shape ``(P, W)``."""
        found = self.sums.copy()
        found.data = found.data / self.places.data
        return found

    def behind(self, words: Collection[str]) -> tuple[Floats, Floats]:
        """Sums and numbers of places of some words together, each of shape ``(P,)``."""
        columns = [place for place, word in enumerate(self.words) if word in words]
        sums: Floats = np.asarray(self.sums[:, columns].sum(1))
        return sums, np.asarray(self.places[:, columns].sum(1))
