"""Verdicts in files, in sentences and on the screen."""

import json
import re
from dataclasses import replace

import pytest
import torch

from fuse_lightning.evaluation.judging import judge
from fuse_lightning.evaluation.paired import mcnemar, needed_examples
from fuse_lightning.evaluation.sentence import rounded_up, sentence, spaced
from fuse_lightning.evaluation.verdict import Comparison, Verdict, read_verdict
from fuse_lightning.evaluation.verdict_table import expectations, print_verdict
from tests.factories.answers import answers, labels


@pytest.fixture(scope="module")
def verdict():
    right = labels(400)
    short = [
        answers("prompt 1", right, 0.8, "judge [this]", 0.85, seed=1),
        answers("prompt 2", right, 0.75, "evil \x1b[31m red", 0.8, seed=2),
    ]
    floors = [
        answers("the text alone", right, 0.5, "", seed=3),
        answers("the best stock instruction", right, 0.6, "Classify.", seed=4),
    ]
    return judge(short, floors, right, ["bad", "good"])


def test_a_verdict_is_read_as_it_was_written(verdict):
    assert read_verdict(json.dumps(verdict.to_dict(), allow_nan=False)) == verdict
    assert Verdict.from_dict(verdict.to_dict()) == verdict
    single = replace(verdict, cross_fitted=None)
    assert read_verdict(json.dumps(single.to_dict())) == single


def changed(data, path, value):
    *inner, last = path
    for name in inner:
        data = data[name]
    if value is KeyError:
        del data[last]
    else:
        data[last] = value


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["word"], "good", "verdict.word is 'good'; it must be one of better, not shown, worse"),
        (["word"], "worse", "verdict.word is 'worse', which no comparison of the first candidate"),
        (["against"], "nobody", "no comparison of the first candidate with 'nobody' says"),
        (["alpha"], KeyError, "verdict.alpha is missing"),
        (["alpha"], float("nan"), "verdict.alpha is nan; it must be finite"),
        (["examples"], 4.5, "verdict.examples is 4.5; it must be of type int"),
        (["examples"], True, "verdict.examples is True; it must be of type int"),
        (["labels"], "ab", "verdict.labels is 'ab'; it must be a list"),
        (["candidates"], [], "verdict.candidates is empty"),
        (["candidates", 0], 3, r"verdict.candidates\[0\] is 3; it must be an object with fields"),
        (["floors", 1, "low"], None, r"verdict.floors\[1\].low is None; it must be of type float"),
        (["floors", 1, "confusion", 0, 1], "x", r"confusion\[0\]\[1\] is 'x'; it must be of type"),
        (["comparisons", 0, "floor"], "x", "comparisons are not of each candidate with each floor"),
        (["comparisons"], [], "comparisons are not of each candidate with each floor"),
    ],
)
def test_what_is_no_verdict_is_refused(verdict, path, value, message):
    data = json.loads(json.dumps(verdict.to_dict()))
    changed(data, path, value)
    with pytest.raises(ValueError, match=message):
        read_verdict(json.dumps(data))


@pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(ValueError, match=r"it must be an object|Expecting|too deep"):
        read_verdict(text)


def comparison(wins, losses, examples, word):
    p = mcnemar(wins, losses)
    lead = (wins - losses) / examples
    needed = needed_examples(wins, losses, examples)
    return Comparison("us", "them", wins, losses, lead, -0.01, 0.1234, p, p, word, needed)


@pytest.mark.parametrize(
    ("pair", "same", "expected"),
    [
        (
            comparison(60, 30, 400, "better"),
            False,
            "better than them: 78.0 % against 70.5 % of 400 test examples (+7.5 points, "
            "95 % interval -1.0 to +12.3, p = 0.002)",
        ),
        (
            comparison(55, 45, 400, "not shown"),
            False,
            "not shown to be better than them: 78.0 % against 70.5 % of 400 test examples (+2.5 "
            "points, 95 % interval -1.0 to +12.3, p = 0.37); to show a difference of this size "
            "takes about 3 200 examples",
        ),
        (
            comparison(5, 5, 400, "not shown"),
            True,
            "not shown to be better than them: 78.0 % against 70.5 % of 400 test examples (+0.0 "
            "points, 95 % interval -1.0 to +12.3, p = 1.00); both are the same text",
        ),
        (
            comparison(10, 60, 400, "worse"),
            False,
            "worse than them: 78.0 % against 70.5 % of 400 test examples (-12.5 points, "
            "95 % interval -1.0 to +12.3, p < 0.001)",
        ),
    ],
)
def test_the_sentence_of_each_word(pair, same, expected):
    assert sentence(pair, 0.78, 0.705, 400, same) == expected


@pytest.mark.parametrize("number", [1, 9, 10, 99, 100, 101, 1899, 1900, 1901, 99_001, 123_456_789])
def test_numbers_are_rounded_up_to_two_digits(number):
    found = rounded_up(number)
    assert number <= found < number * 1.1 + 1
    assert len(str(found).rstrip("0")) <= 2
    assert int(spaced(found).replace(" ", "")) == found


def test_the_screen_shows_the_sentence_first_and_a_line_for_each(verdict, capsys):
    print_verdict(verdict)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == verdict.sentence
    text = "\n".join(lines)
    assert "\x1b" not in text
    assert "judge [this]" in text
    for score in (*verdict.candidates, *verdict.floors):
        pattern = rf"^\W*{score.name}.* {score.tier} .* {100 * score.accuracy:.1f} %"
        assert any(re.search(pattern, line) for line in lines)
    for each in verdict.comparisons[:: len(verdict.candidates)]:
        assert each.candidate == verdict.chosen.name
        pattern = rf"{each.candidate} .*{each.floor} .* {each.wins} .* {each.losses} .*{each.word}"
        assert any(re.search(pattern, line) for line in lines)


def test_the_screen_says_what_accuracy_to_expect(verdict):
    first, second = expectations(verdict)
    chosen = verdict.chosen
    assert first == (
        "prompt 1 is right on 85.0 % of the examples that chose it, and on "
        f"{100 * chosen.accuracy:.1f} % of the test examples"
    )
    assert f"reaches {100 * verdict.best:.1f} % of them" in second
    assert second.endswith(f"about {100 * verdict.cross_fitted:.1f} % of new examples")
    right = torch.tensor([0, 1])
    alone = judge([answers("a", right, 1)], [answers("b", right, 1)], right, ["x", "y"])
    assert len(expectations(alone)) == 1
