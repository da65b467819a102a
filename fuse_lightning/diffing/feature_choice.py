"""Choice of features that seem to tell two models apart, out of all that texts have."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from fuse_lightning.diffing.features import (
    FORMS,
    NUMBERS,
    Feature,
    WordsFeature,
    phrase_feature,
)
from fuse_lightning.diffing.folding import folded
from fuse_lightning.diffing.paired_texts import Group, PairedTexts
from fuse_lightning.diffing.phrases import WORDY, Phrase, common_phrases
from fuse_lightning.diffing.text_effects import prompt_numbers
from fuse_lightning.diffing.units import CutText
from fuse_lightning.diffing.word_groups import word_groups

ALIKE = 0.95
"""Correlation from which on only one of two features is tested."""
TOLD = 5
"""Most features that are told beside one that stands for them."""
LOOKED_AT = 10
"""Features that are compared with each other, for each that may be chosen."""


def choose_features(
    texts: PairedTexts, most: int, least: int
) -> dict[Feature, tuple[Feature, ...]]:
    """Features by which the texts of two models seem to differ most, the strongest first.

    Each comes with the first few of those that say the same, and are not chosen.

    The screen is the sum of the prompts' differences over the root of the sum of their squares. It
    is the statistic of a flip of signs in units of its standard deviation. Where there are
    amplified texts, the larger one of A against B and of amplified A against B counts.

    Args:
        texts: Texts that choose, and take no part in what is measured.
        most: Most features to choose.
        least: Fewest prompts whose texts have a phrase.
    """
    origins: list[tuple[Group, ...]] = [texts.a, texts.b]
    if texts.amplified:
        origins.append(texts.amplified)
    cut = [CutText(text) for text in chain.from_iterable(chain.from_iterable(origins))]
    prompts = np.concatenate([prompt_numbers(groups) for groups in origins])
    weights = _weights(origins)
    phrases = common_phrases(cut, prompts.tolist(), least)
    holders = [np.array(sorted(some), dtype=np.intp) for some in phrases.values()]
    groups = word_groups(cut, prompts, weights, least)
    given: list[Feature] = [*FORMS, *NUMBERS, *map(WordsFeature, groups)]
    values = np.array([[each.value(text) for each in given] for text in cut])
    count = len(texts.prompts)
    scores = [_score(values[:, n], prompts, weights, count) for n in range(len(given))]
    ones = np.ones(len(cut))
    scores += [_score(ones[some], prompts[some], weights[:, some], count) for some in holders]
    # Of equal scores that of several words says most, and that of more texts is met again.
    ranks = [(1, 0)] * len(given)
    ranks += [(0 if _words(each) > 1 else 2, -len(some)) for each, some in phrases.items()]
    order = sorted(range(len(scores)), key=lambda n: (-round(scores[n], 9), *ranks[n], n))
    order = [number for number in order[: LOOKED_AT * most] if scores[number] > 0]
    columns = np.zeros((len(cut), len(order)))
    for place, number in enumerate(order):
        if number < len(given):
            columns[:, place] = values[:, number]
        else:
            columns[holders[number - len(given)], place] = 1
    origin = np.repeat(np.arange(len(origins)), [sum(map(len, groups)) for groups in origins])
    kept = folded(columns, origin, range(len(order)), ALIKE, most)
    named = [*phrases]

    def feature(place: int) -> Feature:
        number = order[place] - len(given)
        if number < 0:
            return given[order[place]]
        return phrase_feature(named[number], [cut[text] for text in holders[number]])

    return {feature(place): tuple(map(feature, others[:TOLD])) for place, others in kept.items()}


def _words(phrase: Phrase) -> int:
    return sum(WORDY.search(unit) is not None for unit in phrase)


def _weights(origins: Sequence[Sequence[Group]]) -> NDArray[np.float64]:
    """Share of each text in its prompt's difference, for each difference that is looked at.

    Returns:
        Shape ``(1, T)`` for A - B, or ``(2, T)`` with the amplified one.
    """
    shares = [np.array([1 / len(group) for group in groups for _ in group]) for groups in origins]
    zeros = [np.zeros_like(each) for each in shares]
    rows = [[shares[0], -shares[1], *zeros[2:]]]
    if len(origins) > 2:
        rows.append([zeros[0], -shares[1], shares[2]])
    return np.array([np.concatenate(row) for row in rows])


def _score(
    values: NDArray[np.float64],
    prompts: NDArray[np.intp],
    weights: NDArray[np.float64],
    count: int,
) -> float:
    """Statistic of a feature, 0 without a difference.

    Args:
        values: Its value in some texts; in the others it is 0.
        prompts: Number of the prompt of each of these texts.
        weights: Share of each of them in its prompt's differences, shape ``(D, T)``.
        count: Number of prompts.
    """
    best = 0.0
    for row in weights:
        apart = np.bincount(prompts, values * row, count)
        square = float((apart**2).sum())
        if square > 1e-18:
            best = max(best, abs(float(apart.sum())) / math.sqrt(square))
    return best
