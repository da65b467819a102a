"""Findings from written texts: what A's answers to the same prompts have more often than B's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from fuse_lightning.diffing.feature_choice import choose_features
from fuse_lightning.diffing.features import Feature, PhraseFeature
from fuse_lightning.diffing.finding import Finding
from fuse_lightning.diffing.folding import folded
from fuse_lightning.diffing.paired_texts import Group, PairedTexts
from fuse_lightning.diffing.text_effects import Effect, Grouped, effects, prompt_numbers
from fuse_lightning.diffing.units import CutText, joined
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.paired import ALPHA, holm
from fuse_lightning.utilities.numbers import check_number

FEWEST = 16
"""Fewest prompts; with half of them hardly anything could be shown."""
ALIKE = 0.6
"""Correlation from which on two findings are told as one."""
DEALS = 20
"""Deals of identical pairs, of whose effects the largest is told."""
EXAMPLES = 3


@dataclass(frozen=True)
class TextFindings:
    """What the texts of two models differ in.

    Attributes:
        findings: The differences that were shown, the largest in standard deviations first.
        control: Findings of the same procedure on a pair of identical models. There should be
            none: more than the allowed share of false alarms says that texts are not independent.
        tested: Number of features that were tested.
        prompts: Number of prompts whose texts tested them.
        texts: Number of these texts.
    """

    findings: tuple[Finding, ...]
    control: tuple[Finding, ...]
    tested: int
    prompts: int
    texts: int


def text_findings(
    texts: PairedTexts,
    *,
    seed: int = 0,
    most: int = 100,
    alpha: float = ALPHA,
    least: int = 3,
) -> TextFindings:
    """Findings from the texts of two models.

    Texts behind one half of the prompts choose features. Those behind the other half measure and
    test them. The tests are exact: each prompt's texts are dealt to A and B anew, or the signs of
    the prompts' differences are flipped for lengths and the like. Holm's method adjusts for all
    that were tested. Intervals speak of new prompts like these; a finding's does not hold 0.
    Findings that go together are told as one.

    Args:
        texts: The texts.
        seed: Seed of the choice of halves, and of the deals of the control.
        most: Most features to test. With few prompts fewer are tested, so that a difference behind
            every prompt can be shown.
        alpha: Share of comparisons of identical models that may have a finding.
        least: Fewest prompts, of those that choose, whose texts have a phrase.

    Raises:
        FuseError: If an option makes no sense, or there are too few prompts.
    """
    check_number("alpha", alpha, 1e-6, 0.5)
    for name, value, floor in (("seed", seed, 0), ("most", most, 1), ("least", least, 1)):
        check_number(name, value, floor)
    if (count := len(texts.prompts)) < FEWEST:
        raise FuseError(f"there are texts behind {count} prompts; give {FEWEST} or more")
    findings, tested, test = _search(texts, seed, most, alpha, least)
    # Its own control would tell nothing further.
    control, _, _ = _search(texts.identical(seed), seed, most, alpha, least)
    number = sum(map(len, (*test.a, *test.b)))
    return TextFindings(findings, control, tested, len(test.prompts), number)


def _search(
    texts: PairedTexts, seed: int, most: int, alpha: float, least: int
) -> tuple[tuple[Finding, ...], int, PairedTexts]:
    """Findings, the number of tested features, and the texts that tested them."""
    choosing, test = texts.halves(seed)
    # The smallest p value there can be, times the number of tests, stays below half of alpha.
    possible = math.floor(alpha / 2 * 2.0 ** min(len(test.prompts) - 1, 60))
    chosen = choose_features(choosing, max(1, min(most, possible)), least)
    features = [*chosen]
    if not features:
        return (), 0, test
    a, b = valued(test.a, features), valued(test.b, features)
    measured = effects(a, b, [each.is_rate for each in features])
    adjusted = holm([each.p for each in measured])
    shown = [
        number
        for number, (p, each) in enumerate(zip(adjusted, measured, strict=True))
        if p <= alpha and each.low * each.high > 0
    ]
    shown.sort(key=lambda number: -abs(measured[number].size))
    values = np.concatenate([a.values, b.values])
    origins = np.repeat(np.arange(2), [len(a.values), len(b.values)])
    strongest = _by_family(folded(values, origins, shown, ALIKE), features)
    same = _largest_by_chance(test, [features[number] for number in strongest], seed)
    findings = tuple(
        _finding(
            features[number],
            measured[number],
            adjusted[number],
            len(features),
            identical,
            test,
            [*chosen[features[number]], *(features[other] for other in under)],
        )
        for (number, under), identical in zip(strongest.items(), same, strict=True)
    )
    return findings, len(features), test


def _by_family(kept: Mapping[int, list[int]], features: Sequence[Feature]) -> dict[int, list[int]]:
    """Features that are kept, those of a family under the first of them."""
    heads: dict[str, int] = {}
    found: dict[int, list[int]] = {}
    for number, under in kept.items():
        head = heads.setdefault(features[number].family or features[number].name, number)
        if head == number:
            found[number] = [*under]
        else:
            found[head] += [number, *under]
    return found


def valued(groups: Sequence[Group], features: Sequence[Feature]) -> Grouped:
    """Values of features in all texts of one origin."""
    cut = [CutText(text) for text in chain.from_iterable(groups)]
    rows = [[feature.value(text) for feature in features] for text in cut]
    return Grouped(np.array(rows).reshape(len(cut), len(features)), prompt_numbers(groups))


def _largest_by_chance(
    texts: PairedTexts, features: Sequence[Feature], seed: int
) -> NDArray[np.float64]:
    """Largest difference of each feature between identical models, over some deals of the texts."""
    if not features:
        return np.zeros(0)
    against = texts.fresh or texts.b
    a, b = valued(texts.a, features), valued(against, features)
    values = np.concatenate([a.values, b.values])
    prompts = np.concatenate([a.prompts, b.prompts])
    mine = np.arange(len(values)) < len(a.values)
    rng = np.random.default_rng([seed, 2])
    largest = np.zeros(len(features))
    for _ in range(DEALS):
        # Within each prompt the texts change places at random; their numbers stay.
        dealt = np.empty(len(values), dtype=np.intp)
        dealt[np.lexsort((rng.random(len(values)), prompts))] = np.argsort(prompts, kind="stable")
        some = values[dealt]
        first, second = (Grouped(some[each], prompts[each]) for each in (mine, ~mine))
        largest = np.maximum(largest, np.abs((first.means - second.means).mean(0)))
    return largest


def _finding(
    feature: Feature,
    effect: Effect,
    p: float,
    looked: int,
    identical: float,
    texts: PairedTexts,
    under: Sequence[Feature],
) -> Finding:
    groups = texts.a if effect.difference > 0 else texts.b
    cut = (CutText(group[0]) for group in groups)
    if feature.is_rate:
        every = chain.from_iterable(groups)
        cut = (each for each in map(CutText, every) if feature.value(each))
    within = _longest(feature, under, groups)
    more = f" Often it is part of {within.spelled!r}." if within else ""
    # A text a prompt would be best; but of rare features any text is welcome.
    examples = dict.fromkeys(feature.example(each) for each in cut)
    return Finding(
        kind="text",
        claim=f"{feature.claim(effect.a, effect.b)}{more}",
        effect=effect.difference,
        unit=feature.unit,
        low=effect.low,
        high=effect.high,
        p=p,
        looked=looked,
        identical=float(identical),
        examples=tuple([*examples][:EXAMPLES]),
        detail={
            "feature": feature.name,
            "a": effect.a,
            "b": effect.b,
            "size": effect.size,
            "prompts": len(texts.prompts),
            "texts": sum(map(len, (*texts.a, *texts.b))),
            "also": [each.name for each in under],
        },
    )


def _longest(
    feature: Feature, under: Sequence[Feature], groups: Sequence[Group]
) -> PhraseFeature | None:
    """The longest phrase that a shorter one is part of in half of the texts that have it, or more.

    Args:
        feature: The feature, which may be none of a phrase.
        under: Features that go together with it.
        groups: Texts of the model that has it more often.
    """
    if not isinstance(feature, PhraseFeature):
        return None
    texts = [each for each in map(CutText, chain.from_iterable(groups)) if feature.value(each)]
    longer = [
        each
        for each in under
        if isinstance(each, PhraseFeature)
        and len(each.inner) > len(feature.inner)
        and joined(feature.inner) in joined(each.inner)
        and 2 * sum(map(each.value, texts)) >= len(texts)
    ]
    return max(longer, key=lambda each: len(each.inner), default=None)
