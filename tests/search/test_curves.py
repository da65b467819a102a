"""Means over a run so far, and the loss over the targets' own steps."""

from types import SimpleNamespace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.engine.meter import Work
from fuse_lightning.results.result import Result
from fuse_lightning.search.curves import RunMeans, by_own_steps
from fuse_lightning.search.target_search import Best, TargetSearch
from tests.near import near

LOSSES = st.floats(-5, 5)
CURVES = st.dictionaries(st.integers(1, 12), LOSSES, min_size=1).map(lambda d: sorted(d.items()))


def result(name, loss, rank=1, curve=()):
    return Result(name, "a", [], loss, {"x": 2 * loss}, 3, 0, 0.0, rank, curve=[*curve])


def search(loss, done=False):
    best = None if loss is None else Best(loss, [2 * loss], (1,), "a", 1)
    return SimpleNamespace(best=best, done=done, evaluations=3, tokens=4.0, flops=5.0)


@given(st.lists(LOSSES), st.lists(st.none() | LOSSES), st.integers(0, 3))
def test_means_are_those_of_all_targets_that_have_a_prompt(ended, running, cut):
    results = [result(f"{n}-{rank}", loss, rank) for n, loss in enumerate(ended) for rank in (1, 2)]
    searches = [*(search(loss) for loss in running), search(7.0, done=True)]
    means = RunMeans()
    means.told(results[: 2 * cut], [], ["x"])
    told = means.told(results, searches, ["x"])
    losses = [*ended, *(loss for loss in running if loss is not None)]
    if not losses:
        assert told == {}
        return
    assert told["train/best"] == near(sum(losses) / len(losses), size=1)
    assert told["train/x"] == near(2 * sum(losses) / len(losses), size=1)
    # A run that begins anew counts anew.
    again = means.told([], [search(1.0)], ["x"])
    assert (again["train/best"], again["used/evaluations"]) == (1.0, 3)


@given(st.lists(CURVES, min_size=1))
def test_curves_over_own_steps_are_those_of_a_plain_table(curves):
    told = by_own_steps([result(str(n), 0.0, curve=curve) for n, curve in enumerate(curves)])
    first = max(curve[0][0] for curve in curves)
    table = {
        step: [[loss for at, loss in curve if at <= step][-1] for curve in curves]
        for step in range(first, 13)
    }
    for name, of in (
        ("mean", np.mean),
        ("lower", lambda v: np.quantile(v, 0.25)),
        ("upper", lambda v: np.quantile(v, 0.75)),
    ):
        assert [loss for _, loss in told[name]] == near(
            [float(of(table[step])) for step, _ in told[name]], size=1
        )
    steps = [step for step, _ in told["mean"]]
    assert steps == sorted(set(steps))
    # Between two of its steps no loss changes.
    for step in range(first, 13):
        assert table[step] == table[max(at for at in steps if at <= step)]


def test_results_without_a_curve_have_none():
    assert by_own_steps([result("a", 1.0), result("b", 1.0, rank=2, curve=[(1, 2.0)])]) == {}


def test_a_search_notes_where_its_best_loss_changes():
    found = TargetSearch("a", "", torch.Generator())
    for step, loss in enumerate((None, 3.0, None, 2.0, 2.5, 2 - 1e-9), start=1):
        found.step = step
        if loss is not None:
            found.keep(Best(loss, [], (step,), str(step), step), top=2)
        found.spend(1.0, Work(), 1)
    assert found.curve == [(2, 3.0), (4, 2.0)]
    one, other = found.results([], 0, list)
    assert (one.curve, other.curve) == (found.curve, [])
    assert Result.from_dict(one.to_dict()) == one
