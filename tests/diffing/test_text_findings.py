import json
from dataclasses import replace

import numpy as np
import pytest

from fuse_lightning.diffing import text_findings as module
from fuse_lightning.diffing.deals import deal_test
from fuse_lightning.diffing.feature_choice import choose_features
from fuse_lightning.diffing.paired_texts import PairedTexts
from fuse_lightning.diffing.text_findings import text_findings
from fuse_lightning.errors import FuseError
from tests.diffing.written import closing, numbered, opening, pair

MARKS = {closing: "short answer.", opening: "Thank you, friend!", numbered: "1. "}


@pytest.mark.parametrize(
    ("put", "rate", "name"),
    [
        (closing, 0.6, "ends with 'That is the short answer.'"),
        (opening, 0.4, "begins with 'Thank you, friend!'"),
        (numbered, 1.0, "a numbered line"),
    ],
)
def test_a_planted_habit_is_found_first(put, rate, name):
    texts = pair(0, habits=[(put, rate)])
    found = text_findings(texts)
    first, *others = found.findings
    assert first.detail["feature"] == name
    _, test = texts.halves(0)
    mine = [text for group in test.a for text in group]
    assert len(mine) == found.texts / 2 == 60
    assert found.prompts == 20
    counted = sum(MARKS[put] in text for text in mine) / 60
    assert first.effect == pytest.approx(counted)
    assert first.low <= rate <= first.high or rate == 1
    assert first.low > 0
    assert first.p < 0.01
    hits = [np.array([sum(MARKS[put] in text for text in group) for group in test.a])]
    hits.append(np.zeros_like(hits[0]))
    counts = np.full(20, 3)
    alone = deal_test((hits[0], hits[1]), (counts, counts))
    # Adjusted for all that were tested, but for those that are at least as sure.
    assert alone * (first.looked - 10) <= first.p <= alone * first.looked * (1 + 1e-9)
    assert first.identical < first.effect / 2 or rate == 1
    assert MARKS[put] in first.examples[0]
    assert first.looked == found.tested <= 100
    assert all(abs(each.detail["size"]) <= abs(first.detail["size"]) for each in others)
    assert found.control == ()
    json.dumps(first.to_dict())


def test_of_two_habits_both_are_found_and_each_is_one_finding():
    found = text_findings(pair(1, habits=[(closing, 0.9), (opening, 0.7)])).findings
    names = [each.detail["feature"] for each in found]
    assert sum("short answer" in name for name in names) == 1
    assert sum("Thank you" in name for name in names) == 1


def test_what_b_has_is_negative():
    texts = pair(2, habits=[(closing, 0.8)])
    found = text_findings(replace(texts, a=texts.b, b=texts.a, fresh=texts.b))
    assert found.findings[0].effect < -0.5
    assert found.findings[0].high < 0
    assert "short answer" in found.findings[0].examples[0]


def test_a_longer_text_is_a_finding_in_words():
    longer, shorter = pair(3, words=11), pair(4, words=6)
    found = text_findings(replace(longer, b=shorter.b)).findings
    (words,) = [each for each in found if each.detail["feature"] == "words a sentence"]
    assert words.low <= 5 <= words.high
    assert words.unit == "words"


def test_texts_of_given_answers_have_a_control_too():
    found = text_findings(pair(5, habits=[(closing, 0.6)], fresh=False))
    first = found.findings[0]
    assert "short answer" in first.claim
    assert found.control == ()
    assert 0 < first.identical < first.effect


def test_amplified_texts_help_to_choose_and_measure_nothing():
    plain, amplified = pair(7), pair(6, habits=[(closing, 0.6)]).a
    texts = replace(plain, amplified=amplified)
    chosen, without = (choose_features(each.halves(0)[0], 20, 3) for each in (texts, plain))
    assert any("short answer" in each.name for each in chosen)
    assert not any("short answer" in each.name for each in without)
    assert not any("short answer" in each.claim for each in text_findings(texts).findings)


def test_same_texts_same_findings():
    texts = pair(8, habits=[(closing, 0.5)])
    assert text_findings(texts, seed=3) == text_findings(texts, seed=3)


def test_texts_that_choose_do_not_measure():
    """Only texts that choose have the habit."""
    texts = pair(9, habits=[(closing, 1.0)])
    plain = pair(9)
    choosing, _ = texts.halves(0)
    only = tuple(
        group if prompt in choosing.prompts else other
        for prompt, group, other in zip(texts.prompts, texts.a, plain.a, strict=True)
    )
    found = text_findings(replace(texts, a=only, fresh=plain.a))
    assert not any("short answer" in each.claim for each in found.findings)


def test_uneven_numbers_of_texts():
    texts = pair(10, habits=[(closing, 0.7)], samples=3)
    fewer = tuple(group[: 1 + number % 3] for number, group in enumerate(texts.b))
    found = text_findings(replace(texts, b=fewer)).findings
    assert "short answer" in found[0].claim


def test_texts_without_any_difference_have_no_finding():
    same = tuple(("One text.",) for _ in range(20))
    found = text_findings(PairedTexts(tuple(map(str, range(20))), same, same))
    assert (found.findings, found.control) == ((), ())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"alpha": 0}, "alpha is 0"),
        ({"most": 0}, "most is 0"),
        ({"least": 0}, "least is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_bad_options(given, words):
    with pytest.raises(FuseError, match=words):
        text_findings(pair(0), **given)


def test_few_prompts():
    with pytest.raises(FuseError, match="behind 10 prompts; give 16 or more"):
        text_findings(pair(0, prompts=10))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"prompts": ("x", "x")}, "'x' is given twice"),
        ({"b": (("b",), ())}, "'y' has no text of B"),
        ({"fresh": (("b",),)}, "2 prompts, and texts of fresh A behind 1"),
    ],
)
def test_bad_texts(given, words):
    whole = {"prompts": ("x", "y"), "a": (("a",), ("a",)), "b": (("b",), ("b",))}
    with pytest.raises(FuseError, match=words):
        PairedTexts(**whole | given)


def test_deals_keep_the_texts_of_each_prompt():
    texts = pair(11, prompts=6, samples=4)
    dealt = texts.shuffled(np.random.default_rng(0))
    assert dealt.a != texts.a
    for number in range(6):
        before = sorted((*texts.a[number], *texts.b[number]))
        assert sorted((*dealt.a[number], *dealt.b[number])) == before


@pytest.mark.slow
def test_few_of_many_identical_pairs_have_a_finding():
    """Of many features the eight that seem to differ most are tested, on texts that chose none."""
    alarms = 0
    for seed in range(200):
        texts = pair(1000 + seed, prompts=40, samples=4, habits=[(closing, 0.3)], words=6)
        texts = replace(texts, b=texts.fresh, fresh=())
        found, tested, _ = module._search(texts, seed, 8, 0.05, 2)
        assert tested == 8
        alarms += bool(found)
    # At most 10 are expected; 20 would be met once in a thousand times.
    assert alarms < 20


def test_what_measures_the_length_is_told_once():
    rng = np.random.default_rng(0)

    def texts(most):
        # Sentences of 3 to 12 words, so that their number tells little of that of the words.
        return tuple(
            tuple(
                " ".join(
                    " ".join(["so"] * int(rng.integers(3, 13))) + "."
                    for _ in range(int(rng.integers(most - 2, most)))
                )
                for _ in range(4)
            )
            for _ in range(40)
        )

    paired = PairedTexts(tuple(map(str, range(40))), a=texts(4), b=texts(8), fresh=texts(4))
    found = text_findings(paired)
    lengths = [each for each in found.findings if each.detail["feature"] in ("words", "sentences")]
    assert len(lengths) == 1
    assert {"words", "sentences"} <= {lengths[0].detail["feature"], *lengths[0].detail["also"]}
