"""Words that one model finds likelier: planted ones are found, and nothing without a difference."""

import math

import numpy as np
import pytest

from fuse_lightning.diffing.mean_effect import mean_effect
from fuse_lightning.diffing.word_ratios import word_ratios
from fuse_lightning.diffing.word_shifts import LEAST, word_shifts
from tests.diffing.test_word_ratios import scored

WORDS = [f"w{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(60)]
RARE = [f"rare{chr(97 + n)}" for n in range(12)]


def texts_of(seed, planted, prompts=64, samples=4, noise=0.3, rare=0.0):
    """Texts of random words, in which the planted words are likelier by their log-ratio."""
    rng = np.random.default_rng(seed)
    found = []
    for prompt in range(prompts):
        for _ in range(samples):
            words = rng.choice(WORDS, 8).tolist()
            if rng.random() < rare:
                words.append(str(rng.choice(RARE)))
            a = [-1 + planted.get(word, 0) + rng.normal(0, noise) for word in words]
            pieces = [f" {word}" for word in words]
            found.append(scored(pieces, a, [-1.0] * len(words), prompt))
    return found


def test_planted_words_are_found_in_their_direction():
    planted = {WORDS[3]: 1.0, WORDS[5]: -1.0}
    found, looked = word_shifts(texts_of(3, planted))
    single = {each.detail["words"][0]: each for each in found if len(each.detail["words"]) == 1}
    assert looked >= 2
    assert {word: math.copysign(1, each.effect) for word, each in single.items()} == planted
    assert single[WORDS[3]].low < 1 < single[WORDS[3]].high
    assert single[WORDS[3]].claim.startswith(f"A finds '{WORDS[3]}' 2.")
    assert single[WORDS[5]].claim.startswith(f"B finds '{WORDS[5]}' 2.")
    assert WORDS[3] in single[WORDS[3]].examples[0]


def test_words_that_are_rare_alone_are_found_together():
    planted = dict.fromkeys(RARE, 1.0)
    found, _ = word_shifts(texts_of(1, planted, rare=0.2))
    assert len(found[0].detail["words"]) > 3
    assert {*found[0].detail["words"]} <= {*RARE}


@pytest.mark.parametrize("seed", range(3))
def test_figures_are_those_of_the_half_that_did_not_choose(seed):
    planted = {WORDS[3]: 0.8, WORDS[7]: 0.8}
    texts = texts_of(seed, planted, samples=2)
    found, _ = word_shifts(texts, seed=seed)
    order = np.random.default_rng([seed, 0]).permutation(64)
    testing = {*order[32:].tolist()}
    for each in found:
        values = []
        for prompt in sorted(testing):
            ratios = [
                place.ratio
                for text in texts
                if text.prompt_number == prompt
                for place in word_ratios(text)
                if place.word in each.detail["words"]
            ]
            if ratios:
                values.append(sum(ratios) / len(ratios))
        plain = mean_effect(values)
        np.testing.assert_allclose(
            [each.effect, each.low, each.high], [plain.mean, plain.low, plain.high], rtol=1e-9
        )


def test_equal_models_have_no_finding():
    texts = texts_of(0, {}, noise=0.0)
    assert word_shifts(texts)[0] == ()


def test_chance_alone_is_shown_at_most_as_often_as_allowed():
    shown = sum(
        bool(word_shifts(texts_of(seed, {}, prompts=32), alpha=0.05)[0]) for seed in range(40)
    )
    # Of 40 such comparisons 2 are expected; 6 or more come in 1 of 70 cases.
    assert shown <= 5


def test_tiny_shifts_are_left_out():
    planted = {WORDS[3]: LEAST / 2}
    assert word_shifts(texts_of(0, planted, noise=0.0))[0] == ()


@pytest.mark.parametrize(("shift", "times"), [(0.7, "2"), (6.0, "400"), (9.0, "8,100")])
def test_ratios_have_two_digits(shift, times):
    found, _ = word_shifts(texts_of(0, {WORDS[3]: shift}, noise=0.0))
    assert f"{times} times as likely" in found[0].claim


def test_few_prompts_tell_nothing():
    assert word_shifts(texts_of(0, {WORDS[0]: 3.0}, prompts=7)) == ((), 0)


def test_the_order_of_texts_does_not_matter():
    texts = texts_of(2, {WORDS[3]: 1.0})
    first, _ = word_shifts(texts)
    other, _ = word_shifts(texts[::-1])
    assert [each.claim for each in first] == [each.claim for each in other]
