"""Steps that budgets allow, and what they cost in all."""

import pytest

from fuse_lightning.search.limits import Limits
from fuse_lightning.search.plan import Cost, Plan


def plan(**limits):
    step = Cost(evaluations=100, tokens=5000, seconds=2.0, flops=1e9)
    return Plan(50, Cost(evaluations=50), step, Limits(**{"steps": 20} | limits))


@pytest.mark.parametrize(
    ("limits", "allowed"),
    [
        ({}, (20, "steps")),
        ({"max_evaluations": 3000}, (20, "steps")),
        # Of the 450 evaluations 50 go into the start; the step that uses them up is the last.
        ({"max_evaluations": 450}, (4, "max_evaluations")),
        ({"max_evaluations": 451}, (5, "max_evaluations")),
        ({"max_evaluations": 20}, (1, "max_evaluations")),
        ({"max_tokens": 9000, "max_seconds": 100}, (2, "max_tokens")),
        ({"max_seconds": 5}, (3, "max_seconds")),
        ({"max_flops": 1.5e9}, (2, "max_flops")),
    ],
)
def test_allowed_steps(limits, allowed):
    assert plan(**limits).allowed == allowed


def test_total_counts_the_start_once():
    assert plan(max_seconds=5).total == Cost(350, 15000, 6.0, 3e9)


def test_few_steps_are_a_reason_only_where_a_budget_cuts_them_short():
    assert plan(max_seconds=5).reasons() == []
    (reason,) = plan(max_seconds=4).reasons()
    assert reason == "the budget allows about 2 steps: raise max_seconds"
    assert plan(steps=1).reasons() == []


def test_a_cost_that_was_not_counted_limits_nothing():
    found = Plan(5, Cost(), Cost(seconds=1.0), Limits(steps=9, max_evaluations=1))
    assert found.allowed == (9, "steps")
