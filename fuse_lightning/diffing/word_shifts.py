"""Words that A finds likelier than B at the places where they stand, or less likely."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
from scipy.stats import t as student

from fuse_lightning.decoding.scored_text import ScoredText
from fuse_lightning.diffing.finding import Finding
from fuse_lightning.diffing.mean_effect import MeanEffect, mean_effect
from fuse_lightning.diffing.units import excerpt, shortened
from fuse_lightning.diffing.word_ratios import Floats, Place, WordTable, word_ratios
from fuse_lightning.evaluation.intervals import LEVEL
from fuse_lightning.evaluation.paired import holm

UNIT = "nats a place"
FEWEST = 4
"""Fewest prompts that measure a word, and half of the fewest prompts at all."""
GROUPED = 40
"""Most words of a group."""
NAMED = 8
"""Most words of a group that its claim names."""
NEAR = 0.5
"""Share of the largest log-ratio that the words of a group have at least."""
LEAST = math.log(1.1)
"""Smallest log-ratio of a difference that is shown; with many texts any training leaves some."""
EXAMPLES = 3

Read = tuple[ScoredText, list[Place]]
"""A text and its words."""


def word_shifts(
    texts: Sequence[ScoredText], *, seed: int = 0, most: int = 20, alpha: float = 0.05
) -> tuple[tuple[Finding, ...], int]:
    """Words whose probability differs between two models where they stand in texts.

    The log-ratio of a word at a place is its log-probability by A less that by B. Texts of one half
    of the prompts choose words and two groups of words, see :func:`choose_words`. Texts of the
    other half measure them. A prompt is one draw, as its texts depend on each other. Holm's method
    adjusts for all that were looked at. What is shown is at least 1.1 times as likely by one of the
    two, with its whole 95 % interval.

    Nothing is counted, so a few places tell of a word. A habit that is spread over many rare words
    is found by their group.

    Args:
        texts: Texts with the log-probabilities of A and B, of at least eight prompts.
        seed: Seed of the two halves.
        most: Most words in each direction.
        alpha: Share of comparisons of identical models that may have a finding.

    Returns:
        The findings, groups first, then the words that carry most, with effects in nats, positive
        where A finds them likelier. And the number of words and groups that were looked at; of
        fewer than eight prompts none is.
    """
    numbers = sorted({text.prompt_number for text in texts})
    if len(numbers) < 2 * FEWEST:
        return (), 0
    order = np.random.default_rng([seed, 0]).permutation(len(numbers))
    first = {numbers[place] for place in order[: len(order) // 2]}
    read = [(text, word_ratios(text)) for text in texts]
    halves: tuple[list[Read], list[Read]] = [], []
    for each in read:
        halves[each[0].prompt_number not in first].append(each)
    choosing, table = (
        WordTable([(text.prompt_number, places) for text, places in half]) for half in halves
    )
    chosen = [choose_words(choosing, direction, most) for direction in (1, -1)]
    asked = [tuple(group) for _, group in chosen if len(group) > 1]
    asked += [(word,) for words, _ in chosen for word in words]
    found = [
        _finding(words, effect, carried)
        for words in asked
        if (measured := _measured(table, words)) is not None
        for effect, carried in [measured]
    ]
    adjusted = holm([each.p or 0.0 for each in found])
    shown = [
        replace(each, p=p, looked=len(found), examples=_examples(each, halves[1]))
        for each, p in zip(found, adjusted, strict=True)
        if p <= alpha and max(each.low, -each.high) > LEAST
    ]
    shown.sort(key=lambda each: (len(each.detail["words"]) == 1, -abs(each.detail["carried"])))
    return tuple(shown), len(found)


def choose_words(table: WordTable, direction: int, most: int) -> tuple[list[str], list[str]]:
    """Words of one direction: those that are likelier for sure, and a group of maybe rarer ones.

    Words are ranked by their mean log-ratio over prompts, less what its 95 % interval takes off. A
    group has the words that carry most, out of those whose log-ratio is not far below the largest
    one. A further prompt with the log-ratio 0 makes those of few prompts smaller.

    Args:
        table: The texts that choose.
        direction: 1 for words that A finds likelier, -1 for the others.
        most: Most words.

    Returns:
        The words, and those of the group.
    """
    ratios = table.ratios
    count = np.asarray((table.places > 0).sum(0), dtype=np.float64)
    total = direction * np.asarray(ratios.sum(0))
    mean = total / count
    spread = np.maximum(np.asarray((ratios**2).sum(0)) / count - mean**2, 0)
    enough = count >= FEWEST
    freedom = np.maximum(count - 1, 1)
    error = np.sqrt(spread / freedom)
    sure = np.where(enough, mean - student.isf((1 - LEVEL) / 2, freedom) * error, 0)
    words = [place for place in np.argsort(-sure, kind="stable") if sure[place] > LEAST]
    careful = total / (count + 1)
    carried: Floats = direction * np.asarray(table.sums.sum(0))
    near = careful > max(NEAR * careful.max(initial=0.0), LEAST)
    group = [place for place in np.argsort(-carried, kind="stable") if near[place]]
    named = table.words
    return [named[place] for place in words[:most]], [named[place] for place in group[:GROUPED]]


def _measured(table: WordTable, words: Sequence[str]) -> tuple[MeanEffect, float] | None:
    """Mean log-ratio of a place over prompts, and that of a text; ``None`` with too few prompts.

    A group has to say more than its first word: the others must go the same way.
    """
    whole = _effect(*table.behind(words))
    if whole is None:
        return None
    carried = float((table.behind(words)[0] / table.texts).mean())
    if len(words) == 1:
        return whole, carried
    rest = _effect(*table.behind(words[1:]))
    if rest is None or rest.mean * whole.mean <= 0:
        return whole._replace(p=1.0), carried
    return whole._replace(p=max(whole.p, rest.p)), carried


def _effect(sums: Floats, places: Floats) -> MeanEffect | None:
    some = places > 0
    return mean_effect((sums[some] / places[some]).tolist()) if some.sum() >= FEWEST else None


def _finding(words: Sequence[str], effect: MeanEffect, carried: float) -> Finding:
    named = ", ".join(repr(shortened(word)) for word in words[:NAMED])
    if len(words) > NAMED:
        named += f" and {len(words) - NAMED} more"
    one, other = "AB" if effect.mean > 0 else "BA"
    ratio = math.exp(abs(effect.mean))
    number = f"{ratio:.2g}" if ratio < 100 else f"{float(f'{ratio:.2g}'):,.0f}"
    times = f"{number} times as likely as {other} does, where"
    claim = (
        f"{one} finds {named} {times} it stands."
        if len(words) == 1
        else f"{one} finds these words {times} they stand: {named}."
    )
    return Finding(
        kind="word",
        claim=claim,
        effect=effect.mean,
        unit=UNIT,
        low=effect.low,
        high=effect.high,
        p=effect.p,
        looked=0,
        # Of one and the same model all probabilities are equal.
        identical=0.0,
        detail={"words": [*words], "carried": carried},
    )


def _examples(finding: Finding, texts: Sequence[Read]) -> tuple[str, ...]:
    """Places of a finding's words at which the two models part most, each of another text."""
    direction, words = math.copysign(1, finding.effect), {*finding.detail["words"]}
    best: list[tuple[float, int, Place]] = []
    for number, (_, places) in enumerate(texts):
        if some := [each for each in places if each.word in words]:
            place = max(some, key=lambda each: direction * each.ratio)
            best.append((-direction * place.ratio, number, place))
    best.sort(key=lambda each: each[:2])
    told = (excerpt(texts[number][0].text, place.start, place.end) for _, number, place in best)
    return tuple(islice(dict.fromkeys(told), EXAMPLES))
