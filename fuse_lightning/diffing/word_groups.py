"""Groups of words that one model's texts have more often, each maybe too rare to be shown alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from fuse_lightning.diffing.phrases import WORDY
from fuse_lightning.diffing.units import BEGIN, END, CutText

LARGEST = 16
"""Most words of a group."""
TRIED = 200
"""Words that are tried at each step, those that tell most by themselves."""
LEAST = 1.5
"""Smallest z value of a word that is tried, by itself."""
GAIN = 0.02
"""Share by which a further word has to raise what a group tells."""


def word_groups(
    texts: Sequence[CutText],
    prompts: NDArray[np.intp],
    shares: NDArray[np.float64],
    least: int,
) -> list[tuple[str, ...]]:
    """Words that A's texts have more often than B's, and words that B's have more often.

    A text has a group if it has one of its words. A group begins with the word that tells most. It
    grows by the word with which it tells most then, as long as that raises what it tells: the sum
    of the prompts' differences over the root of the sum of their squares. Upper and lower case are
    one word.

    A mood or a subject is spread over many words, and none of them may be frequent enough to be
    shown by itself.

    Args:
        texts: Texts that choose.
        prompts: Number of the prompt of each text, shape ``(T,)``.
        shares: Share of each text in each difference that is looked at, shape ``(D, T)``: negative
            for texts of B, 0 for those that do not count. What the differences tell is added.
        least: Fewest prompts whose texts have a word.

    Returns:
        At most two groups, of two words or more.

    >>> texts = [CutText(text) for text in [*["so fine"] * 3, *["nice so"] * 3, *["so"] * 6]]
    >>> prompts, shares = np.tile(np.arange(6), 2), np.repeat([1.0, -1], 6)
    >>> word_groups(texts, prompts, shares[None], 1)
    [('fine', 'nice')]
    """
    names, has = _words(texts, prompts, least)
    if not names:
        return []
    by_prompt = csr_array((np.ones(len(texts)), (np.arange(len(texts)), prompts)))
    found = (_grown(has, direction * shares, by_prompt) for direction in (1, -1))
    return [tuple(names[word] for word in group) for group in found if len(group) > 1]


def _words(
    texts: Sequence[CutText], prompts: NDArray[np.intp], least: int
) -> tuple[list[str], NDArray[np.bool_]]:
    """Words in small letters, and which text has each, shape ``(W, T)``."""
    holders: dict[str, list[int]] = defaultdict(list)
    for number, text in enumerate(texts):
        for word in {unit.lower() for unit in text.units if unit not in (BEGIN, END)}:
            if WORDY.search(word):
                holders[word].append(number)
    names = [word for word, some in holders.items() if len({*prompts[some].tolist()}) >= least]
    names.sort()
    has = np.zeros((len(names), len(texts)), dtype=bool)
    for place, word in enumerate(names):
        has[place, holders[word]] = True
    return names, has


def _grown(has: NDArray[np.bool_], shares: NDArray[np.float64], by_prompt: csr_array) -> list[int]:
    """Numbers of the words of a group, in the order in which they came to it."""
    alone = _tells(has, shares, by_prompt)
    tried = np.argsort(-alone, kind="stable")[:TRIED]
    tried = tried[alone[tried] > LEAST * len(shares)]
    group: list[int] = []
    covered = np.zeros(has.shape[1], dtype=bool)
    most = 0.0
    while len(group) < min(LARGEST, len(tried)):
        tells = _tells(has[tried] | covered, shares, by_prompt)
        best = int(tells.argmax())
        if tells[best] <= (1 + GAIN) * most:
            break
        most = float(tells[best])
        group.append(int(tried[best]))
        covered |= has[tried[best]]
    return group


def _tells(
    has: NDArray[np.bool_], shares: NDArray[np.float64], by_prompt: csr_array
) -> NDArray[np.float64]:
    """What each row of ``has`` tells, shape ``(W,)``, rounded so that equal ones stay equal."""
    total = np.zeros(len(has))
    for share in shares:
        apart = (has * share) @ by_prompt
        size = np.sqrt((apart**2).sum(1))
        total += np.divide(apart.sum(1), size, out=np.zeros_like(size), where=size > 1e-9)
    return total.round(9)
