"""Verdicts on prompts whose true accuracy is known."""

import math
from dataclasses import replace

import pytest
import torch

from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.judging import Answers, judge
from fuse_lightning.evaluation.paired import holm, needed_examples
from tests.factories.answers import answers, labels

CLASSES = ["bad", "good"]


def small():
    """Three examples of two prompts, small enough to count by hand."""
    right = torch.tensor([0, 1, 1])
    found = Answers("found", "a", torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), 1.0)
    empty = Answers("empty", "", torch.tensor([[0.3, 0.7], [0.4, 0.6], [0.9, 0.1]]), 0.5)
    return right, found, empty


def test_figures_of_a_prompt_by_hand():
    right, found, empty = small()
    verdict = judge([found], [empty], right, CLASSES)
    score = verdict.chosen
    assert (score.name, score.text, score.select) == ("found", "a", 1.0)
    assert score.accuracy == pytest.approx(2 / 3)
    assert score.cross_entropy == pytest.approx(-math.log(0.9 * 0.8 * 0.4) / 3)
    # Confidences 0.9, 0.8, 0.6 lie in bins of their own; right, right, wrong.
    assert score.calibration_error == pytest.approx((0.1 + 0.2 + 0.6) / 3)
    assert score.confusion == ((1, 0), (1, 1))
    assert verdict.floors[0].confusion == ((0, 1), (1, 1))
    assert (score.low, score.high) == pytest.approx((0.2077, 0.9385), abs=1e-4)
    assert verdict.labels == ("bad", "good")
    assert verdict.examples == 3
    (pair,) = verdict.comparisons
    assert (pair.candidate, pair.floor, pair.wins, pair.losses) == ("found", "empty", 1, 0)
    assert pair.difference == pytest.approx(1 / 3)
    assert (pair.p, pair.adjusted, pair.word) == (1.0, 1.0, "not shown")
    assert verdict.optimism == pytest.approx(1 / 3)


def test_of_equally_likely_labels_the_first_is_the_answer():
    right, found, empty = small()
    even = replace(found, probabilities=torch.full((3, 2), 0.5))
    assert judge([even], [empty], right, CLASSES).chosen.confusion == ((1, 0), (2, 0))


def test_half_precision_answers_are_read():
    right, found, empty = small()
    coarse = replace(found, probabilities=(1.01 * found.probabilities).bfloat16())
    verdict = judge([coarse], [empty], right, CLASSES)
    expected = -math.log(0.9 * 0.8 * 0.4) / 3
    # Without the sum made 1 again, this would be 0.01 nats less.
    assert verdict.chosen.cross_entropy == pytest.approx(expected, abs=0.003)


def test_a_right_label_of_probability_0_makes_the_cross_entropy_infinite():
    right, found, empty = small()
    sure = replace(found, probabilities=torch.eye(2)[[1, 1, 1]])
    assert judge([sure], [empty], right, CLASSES).chosen.cross_entropy is None


def test_a_good_prompt_is_better_and_a_bad_one_worse():
    right = labels(400)
    good, bad = answers("good", right, 0.9, seed=1), answers("bad", right, 0.6, seed=2)
    verdict = judge([good], [bad], right, CLASSES)
    assert verdict.word == "better"
    assert verdict.sentence.startswith("better than bad: ")
    turned = judge([bad], [good], right, CLASSES)
    assert turned.word == "worse"
    assert turned.sentence.startswith("worse than good: ")
    (pair,), (back,) = verdict.comparisons, turned.comparisons
    assert (pair.wins, pair.losses, pair.p) == (back.losses, back.wins, back.p)
    assert (pair.difference, pair.low, pair.high) == pytest.approx(
        (-back.difference, -back.high, -back.low)
    )
    assert pair.needed == back.needed
    assert [verdict.candidates[0].tier, verdict.floors[0].tier] == [1, 2]


def test_the_strongest_floor_is_the_best_on_select_and_never_on_test():
    right = labels(300)
    found = answers("found", right, 0.9, seed=1)
    lucky = answers("lucky", right, 0.95, select=0.5, seed=2)
    steady = answers("steady", right, 0.6, select=0.7, seed=3)
    equal = answers("equal", right, 0.99, select=0.7, seed=4)
    verdict = judge([found], [lucky, steady, equal], right, CLASSES)
    assert verdict.against == "steady"
    assert verdict.word == "better"
    assert verdict.headline.floor == "steady"


def test_the_chosen_one_is_the_first_of_the_short_list_and_not_the_best_on_test():
    right = labels(300)
    first, second = answers("first", right, 0.6, seed=1), answers("second", right, 0.9, seed=2)
    verdict = judge([first, second], [answers("floor", right, 0.6, seed=3)], right, CLASSES)
    assert verdict.chosen.name == "first"
    assert verdict.headline.candidate == "first"
    assert verdict.word == "not shown"
    assert verdict.best == verdict.candidates[1].accuracy
    assert verdict.cross_fitted == pytest.approx(verdict.best)


def test_each_floor_has_the_candidates_adjusted_for_their_number():
    right = labels(200)
    short = [answers(f"c{i}", right, 0.7, seed=i) for i in range(4)]
    floors = [answers("f0", right, 0.6, seed=8), answers("f1", right, 0.65, seed=9)]
    verdict = judge(short, floors, right, CLASSES)
    for floor in floors:
        pairs = [each for each in verdict.comparisons if each.floor == floor.name]
        assert [each.candidate for each in pairs] == [one.name for one in short]
        assert [each.adjusted for each in pairs] == holm([each.p for each in pairs])
        for each in pairs:
            assert each.needed == needed_examples(each.wins, each.losses, 200, 0.05 / 4)
            shown = "better" if each.difference > 0 else "worse"
            assert each.word == (shown if each.adjusted <= 0.05 else "not shown")


def test_the_same_text_is_never_better():
    right = labels(400)
    good, bad = answers("a", right, 0.9, "x", seed=1), answers("b", right, 0.5, "x", seed=2)
    verdict = judge([good], [bad], right, CLASSES)
    assert verdict.word == "not shown"
    assert verdict.sentence.endswith("; both are the same text")
    assert judge([bad], [good], right, CLASSES).word == "worse"


def test_identical_answers_are_never_better():
    right = labels(50)
    one = answers("one", right, 0.8)
    verdict = judge([one], [replace(one, name="other", text="other")], right, CLASSES)
    assert (verdict.word, verdict.headline.p, verdict.headline.needed) == ("not shown", 1.0, None)


def test_equal_prompts_are_seldom_better():
    trials, found = 300, 0
    for seed in range(trials):
        right = labels(80, seed=seed)
        short = [answers(f"c{i}", right, 0.7, seed=10 * seed + i) for i in range(3)]
        floor = answers("floor", right, 0.7, seed=10 * seed + 9)
        verdict = judge(short, [floor], right, CLASSES)
        found += any(each.word == "better" for each in verdict.comparisons)
    assert found / trials <= 0.05


def test_the_accuracy_of_the_chosen_one_is_fair_and_its_select_accuracy_is_not():
    truth, tests, selects = [], [], []
    for seed in range(150):
        right = labels(60, seed=seed)
        chances = torch.rand(8, 60, generator=torch.Generator().manual_seed(seed)) < 0.7
        select = chances.double().mean(1)
        order = select.argsort(descending=True).tolist()
        short = [
            answers(f"c{i}", right, 0.7, select=select[i].item(), seed=9 * seed + i) for i in order
        ]
        verdict = judge(short[:3], [answers("f", right, 0.5, seed=seed)], right, CLASSES)
        truth.append(0.7)
        tests.append(verdict.chosen.accuracy)
        selects.append(verdict.chosen.select)
    tests, selects = torch.tensor(tests), torch.tensor(selects)
    error = tests.std().item() / math.sqrt(len(tests))
    assert tests.mean().item() == pytest.approx(0.7, abs=4 * error)
    assert selects.mean().item() > 0.7 + 5 * error


def test_many_classes():
    right = labels(100, classes=5)
    found = answers("found", right, 0.9, classes=5, seed=1)
    floor = answers("floor", right, 0.2, classes=5, seed=2)
    score = judge([found], [floor], right, [*"abcde"]).chosen
    confusion = torch.tensor(score.confusion)
    assert confusion.sum().item() == 100
    assert confusion.diagonal().sum().item() / 100 == pytest.approx(score.accuracy)
    assert confusion.sum(1).tolist() == right.bincount(minlength=5).tolist()


def test_one_example_is_enough_for_a_verdict():
    right = torch.tensor([1])
    one = Answers("one", "a", torch.tensor([[0.1, 0.9]]), 1.0)
    verdict = judge([one], [replace(one, name="other", text="")], right, CLASSES)
    assert (verdict.word, verdict.cross_fitted) == ("not shown", None)


RIGHT, FOUND, EMPTY = small()
TASK = {"candidates": [FOUND], "floors": [EMPTY], "labels": RIGHT, "classes": CLASSES}


def found(values):
    return {"candidates": [replace(FOUND, probabilities=torch.tensor(values))]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": []}, "a verdict has no candidate; give at least 1"),
        ({"floors": []}, "a verdict has no floor; give at least 1"),
        ({"classes": ["one"]}, "a verdict has 1 classes; give at least 2"),
        ({"labels": RIGHT[:0]}, r"labels of shape \(0,\); give one for each test example"),
        ({"labels": torch.tensor([0, 1, 2])}, "labels from 0 to 2; give numbers of the 2 classes"),
        ({"labels": RIGHT.double()}, "labels from 0.0 to 1.0; give numbers of the 2 classes"),
        ({"floors": [FOUND]}, "two prompts of a verdict have the name 'found'; give each its own"),
        (
            found([[0.5, 0.5]]),
            r"'found' have shape \(1, 2\); give those of 3 examples and 2 labels",
        ),
        (found([[-0.5, 1.5]] * 3), "'found' has answers that are no probabilities; give numbers"),
        (found([[0.5, 0.6]] * 3), "'found' has answers that are no probabilities; give numbers"),
        (found([[math.nan, 1]] * 3), "'found' has answers that are no probabilities; give numbers"),
        (
            {"floors": [replace(EMPTY, select=70)]},
            "accuracy of 'empty' on select is 70; it must be at least 0 and at most 1",
        ),
        ({"alpha": 5}, "alpha is 5; it must be at least 0 and at most 1"),
    ],
)
def test_a_verdict_on_what_is_none_is_refused(change, message):
    with pytest.raises(FuseError, match=message):
        judge(**{**TASK, **change})
