"""What is said of the room for a better prompt, from figures alone."""

import re

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import chi2

from fuse_lightning.evaluation.deciding import Marked, decide
from fuse_lightning.evaluation.headroom import (
    FloorFigure,
    Room,
    alike,
    examples_for,
    is_inside,
    smallest_gain,
)
from fuse_lightning.evaluation.paired import mcnemar


def room(right=140, examples=200, **options):
    """A target whose search is worth its cost, but for the given figures."""
    figures = {
        "floors": [
            FloorFigure.of("the text alone", "", examples // 2, examples, 0.7),
            FloorFigure.of("the best stock instruction", "Classify.", right, examples, 0.6),
        ],
        "majority": 0.5,
        "alike": 0.001,
        "differing": 0.1,
        "tests": 400,
        "outside": 0.1,
        "written": "what",
    }
    return Room(examples=examples, **figures | options)


def test_of_equal_floors_the_surer_one_is_the_best_as_for_the_verdict():
    floors = [
        FloorFigure.of(name, "", 20, 20, loss)
        for name, loss in (("a", 0.4), ("b", 0.2), ("c", 0.3))
    ]
    assert room(floors=floors).best.name == "b"
    always = torch.ones(20, dtype=torch.bool)
    marked = [Marked(each.name, "", always, each.accuracy, each.loss) for each in floors]
    assert decide([Marked("found", "x", always, 1.0)], marked).against == "b"


def test_no_reason_against_a_fine_search():
    fine = room()
    assert fine.reasons() == []
    assert fine.best.name == "the best stock instruction"
    assert fine.room == pytest.approx(0.3)
    # That the answers lie outside the label set cannot be told of a model that does not write.
    assert room(outside=None, written="").reasons() == []


@pytest.mark.parametrize(
    ("figures", "reason"),
    [
        ({"right": 192}, "saturated: the best stock instruction reaches 96.0 % of 200 examples"),
        ({"right": 10, "examples": 10}, "saturated: .* 100.0 % of 10"),
        ({"right": 104, "alike": 0.5}, r"no headroom, as far as 200 .* frequent class \(50.0 %\)"),
        ({"right": 104, "alike": None}, "no headroom"),
        ({"tests": 20}, "the 20 test examples could not even show .*: give about 340"),
        ({"tests": 2, "differing": 0.3}, "the 2 test examples could not .*: give about 960"),
        ({"tests": 0}, "there are no test examples .*: set data.test"),
    ],
)
def test_reasons(figures, reason):
    (found,) = room(**figures).reasons()
    assert re.search(reason, found)


@pytest.mark.parametrize(
    ("figures", "hint"),
    [
        ({"tests": 100}, "to show a gain of 5 points takes about 340 test examples"),
        ({"differing": 0.3}, "to show a gain of 5 points takes about 960 test examples"),
        ({"outside": 0.75}, "75.0 % of the answers .* such as 'what': where it shall write"),
        ({"outside": 0.75, "written": ""}, "75.0 % of the answers .* set, and empty: where it"),
    ],
)
def test_hints_are_no_reasons(figures, hint):
    found = room(**figures)
    assert found.reasons() == []
    (told,) = found.hints()
    assert re.search(hint, told)


def test_a_fine_search_needs_no_hint():
    assert room().hints() == []


def test_wordings_that_differ_are_headroom_also_of_a_weak_model():
    assert room(right=104, alike=0.01).reasons() == []


def test_several_reasons():
    assert len(room(right=199, tests=0).reasons()) == 2
    assert len(room(right=199, tests=3, outside=1.0).reasons()) == 1


answers = st.integers(3, 6).flatmap(
    lambda prompts: st.lists(
        st.lists(st.booleans(), min_size=prompts, max_size=prompts), min_size=4, max_size=30
    )
)


@given(answers)
def test_alike_is_cochrans_q(rows):
    table = np.array(rows, dtype=float)
    prompts = table.shape[1]
    columns, totals = table.sum(0), table.sum(1)
    spread = prompts * totals.sum() - (totals**2).sum()
    found = alike(torch.tensor(rows).T)
    if not spread:
        assert found == 1
        return
    q = (prompts - 1) * (prompts * (columns**2).sum() - columns.sum() ** 2) / spread
    assert found == pytest.approx(chi2.sf(q, prompts - 1))


@example(0.03210272716133656, 0.9938747960787316)
@given(st.floats(0.01, 1), st.floats(0, 1))
def test_more_examples_for_smaller_gains_and_more_disagreement(gain, differing):
    assert examples_for(gain / 2, differing) >= examples_for(gain, differing)
    assert examples_for(gain, 1.0) >= examples_for(gain, differing)


@given(st.integers(0, 3000), st.floats(0, 1))
def test_the_smallest_gain_is_the_smallest(tests, differing):
    gain = smallest_gain(tests, differing)
    if gain is None:
        assert examples_for(1.0, differing) > tests
        return
    assert examples_for(gain, differing) <= tests
    assert gain < 0.01 or examples_for(gain - 0.005, differing) > tests


def test_so_many_examples_show_a_gain_of_five_points_with_the_promised_power():
    draws = np.random.default_rng(0).multinomial(examples_for(0.05, 0.2), [0.125, 0.075, 0.8], 2000)
    shown = np.mean([mcnemar(int(w), int(n)) < 0.05 for w, n, _ in draws])
    assert 0.76 < shown < 0.88


def test_answers_inside_the_label_set():
    words = ["Very good", "bad"]
    assert is_inside("\n very GOOD film", words)
    assert not is_inside("very", words)
    assert not is_inside("", words)


def test_figures_as_plain_data():
    found = room().to_dict()
    assert found["best"] == "the best stock instruction"
    assert found["floors"][0]["accuracy"] == 0.5
    assert (found["saturated"], found["needed"], found["smallest_gain"]) == (False, 332, 0.05)
