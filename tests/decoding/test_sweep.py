"""Sweeps from texts to their table and their file."""

import json

import numpy as np
import pytest

from fuse_lightning.decoding.properties import Pattern
from fuse_lightning.decoding.rates import Grades
from fuse_lightning.decoding.scored_text import ScoredText, Tokens
from fuse_lightning.decoding.sweep import Sweep, path_weights, print_sweep
from fuse_lightning.errors import FuseError

COUNTS = [(1.0, 0, 100), (2.0, 4, 200), (2.5, 12, 200), (3.0, 40, 200)]


def counted(counts=COUNTS, **options):
    groups = [Grades.counted(*each) for each in counts]
    return Sweep.of_grades(groups, "refusal", "that refuse", **options)


def written(hits, prompts=20, samples=5):
    """Texts behind some prompts of which the first say "no"; every prompt holds "no"."""
    return [
        ScoredText(
            prompt=f"no {number}",
            text="no" if number * samples + sample < hits else "yes",
            tokens=Tokens((), ()),
            pair=("after", "before"),
            prompt_number=number,
            sample=sample,
        )
        for number in range(prompts)
        for sample in range(samples)
    ]


def test_scores_at_an_amount_are_those_of_the_path():
    before, after = np.random.default_rng(0).normal(size=(2, 5))
    for amount in (0, 0.5, 1, 3.5):
        weights = path_weights(amount, "before", "after")
        scores = weights["before"] * before + weights["after"] * after
        assert scores == pytest.approx(before + amount * (after - before))


def test_texts_are_graded_without_their_prompts_and_counted_by_prompt():
    texts = {3.0: written(40), 2.0: written(10), 1.0: written(0)}
    sweep = Sweep.of_texts(Pattern("no"), texts)
    assert [each.amount for each in sweep.rates] == [1.0, 2.0, 3.0]
    assert [each.hits for each in sweep.rates] == [0, 10, 40]
    assert [each.prompts for each in sweep.rates] == [20] * 3
    assert all(each.effect > 4 for each in sweep.rates[1:])
    assert sweep.extrapolation.widening > 2
    assert sweep.name == "no"
    assert sweep.counted is sweep.rates[0]


def test_a_sweep_comes_back_from_its_file():
    for sweep in (counted(), counted([(1, 0, 9), (2, 0, 9)]), counted(COUNTS[1:], wanted=0.5)):
        told = json.loads(json.dumps(sweep.to_dict(), allow_nan=False))
        assert Sweep.from_dict(told) == sweep
    assert counted().to_dict()["extrapolation"]["worth"] == counted().extrapolation.worth


def test_the_counted_rate_stands_beside_the_extrapolated_one(capsys):
    print_sweep(counted())
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if "%" in line and "│" in line]
    assert "texts that refuse" in out
    assert "0 % to 3.7 %" in rows[0]
    assert "0.14 %" in rows[0]
    assert "rate at amount 1, extrapolated by a line: 0.14 % (95 % interval 0.023 % to" in out
    assert "from 600 texts at other amounts; they tell as much as 985 texts of amount 1" in out
    assert "rate at amount 1, counted: 0 % (95 % interval 0 % to 3.7 %), from 100 texts" in out


def test_an_amount_that_nobody_counted_has_a_row_of_its_own(capsys):
    sweep = counted(COUNTS[1:])
    assert sweep.counted is None
    print_sweep(sweep)
    assert len([line for line in capsys.readouterr().out.splitlines() if "│" in line]) == 4


def test_counts_that_say_nothing_are_told_with_the_reason(capsys):
    sweep = counted([(1, 0, 50), (2, 0, 50), (3, 0, 50)])
    assert sweep.extrapolation is None
    assert sweep.curve == ()
    print_sweep(sweep)
    out = capsys.readouterr().out
    assert "no rate is extrapolated: no text of the amounts 2, 3 has the property" in out
    assert "counted: 0 %" in out


def test_unjudged_texts_are_told():
    groups = [Grades(2.0, (1.0, 0.0, float("nan"))), Grades(3.0, (1.0, 0.0))]
    assert "1 texts could not be judged" in Sweep.of_grades(groups, "a").lines[-1]


def test_amounts_that_make_no_sense_are_refused():
    with pytest.raises(FuseError, match="amount is inf"):
        path_weights(float("inf"), "a", "b")
    with pytest.raises(FuseError, match="amount 2 is given twice"):
        counted([(2, 1, 3), (2, 1, 3)])


def test_a_count_that_the_curve_misses_is_told():
    def sweep(*counts):
        return Sweep.of_grades([Grades.counted(*each) for each in counts], "habit", wanted=0)

    straight = [(1, 20, 400), (2, 40, 400), (3, 76, 400)]
    assert not sweep((0, 10, 400), *straight).disagrees
    bent = sweep((0, 10, 400), (1, 76, 400), (2, 76, 400), (3, 80, 400))
    assert bent.disagrees
    assert any("differ by more than chance" in line for line in bent.lines)
    assert sweep((0, 0, 4000), (1, 76, 400), (2, 76, 400), (3, 80, 400)).disagrees
    assert not sweep(*straight).disagrees
