"""Budgets of a target's search, and what was used of them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.engine.meter import Work
from fuse_lightning.search import SearchModule
from fuse_lightning.search.limits import BUDGETS, Limits
from fuse_lightning.search.target_search import TargetSearch
from tests.search.spelling import Spelling, Watch, distance, neighbours, run

numbers = st.integers(1, 60)


@given(
    st.lists(st.tuples(numbers, numbers), min_size=1, max_size=20),
    st.sampled_from(BUDGETS),
    numbers,
)
def test_a_search_ends_after_the_step_that_uses_a_budget_up(steps, name, most):
    limits, search = Limits(steps=100, **{f"max_{name}": most}), TargetSearch.begin("a", "", 0)
    used = 0
    for number, (amount, count) in enumerate(steps):
        for place in range(amount if name == "evaluations" else 0):
            search.evaluated.add((number, place))
        seconds = amount if name == "seconds" else 0
        work = {kind: amount if name == kind else 0 for kind in ("tokens", "flops")}
        count = 1 if name == "evaluations" else count
        search.spend(seconds, Work(**work), count)
        used += amount / count
        assert limits.spent(search) == (used >= most)


class Steps(Watch):
    """What each search has used, step by step."""

    def on_train_batch_end(self, trainer, pl_module, *args):
        for search in pl_module.searches:
            self.seen[search.name, search.step] = search.evaluations, search.tokens, search.flops


@pytest.fixture(scope="module")
def free(tmp_path_factory):
    """What a search without a budget has used after each of its steps."""
    watch = Steps()
    run(tmp_path_factory.mktemp("free"), watch, words=["bead"], steps=12, top=1)
    return [watch.seen["bead", step] for step in range(1, 13)]


def test_each_text_counts_once(free):
    search = TargetSearch.begin("bead", "", 3)
    beam, known, letters = ["a"], {"a"}, 4
    for evaluations, tokens, flops in free:
        found = [text for state in beam for text in neighbours(state, search.generator, 3)]
        known |= {*found}
        letters += 4 * len(found)
        assert (evaluations, tokens, flops) == (len(known), letters, 2 * letters)
        ranked = sorted({(sum(distance(text, "bead")), text) for text in found})
        beam = [text for _, text in ranked[:2]]


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 2), st.integers(1, 60))
def test_the_first_step_that_reaches_a_budget_is_the_last(free, tmp_path_factory, kind, most):
    option = ("max_evaluations", "max_tokens", "max_flops")[kind]
    module, _ = run(tmp_path_factory.mktemp("b"), words=["bead"], steps=12, **{option: most})
    reached = [step for step, used in enumerate(free, start=1) if used[kind] >= most]
    assert module.searches[0].step == min([*reached, 12])
    (row, *_) = module.results
    used = row.evaluations, row.tokens, row.flops
    assert used == free[module.searches[0].step - 1]
    assert row.finished


def test_a_budget_may_change_when_a_run_goes_on(free, tmp_path):
    budget = {"max_evaluations": free[2][0], "max_tokens": 10**6}
    short, _ = run(tmp_path / "a", words=["bead"], steps=12, **budget)
    assert short.searches[0].step == 3
    (checkpoint,) = (tmp_path / "a" / "checkpoints").glob("*step=1.ckpt")
    (tmp_path / "a" / "prompts.jsonl").unlink()
    more, _ = run(tmp_path / "b", words=["bead"], steps=12, checkpoint=checkpoint)
    assert more.searches[0].step == 12
    (row, *_) = more.results
    assert (row.evaluations, row.tokens, row.flops) == free[-1]


def test_a_step_is_shared_alike(tmp_path):
    module, _ = run(tmp_path, words=["bead", "deed cab"], steps=3, top=1)
    one, other = module.results
    assert (one.tokens, one.flops) == (other.tokens, other.flops)
    assert module.letters == pytest.approx(one.tokens + other.tokens, abs=1)


def test_curves_say_what_was_used(tmp_path):
    module, trainer = run(tmp_path, words=["bead"], steps=3, top=1)
    (row,) = module.results
    logged = {name: float(value) for name, value in trainer.logged_metrics.items()}
    assert logged["train/best"] == row.loss
    assert logged["used/evaluations"] == row.evaluations
    assert (logged["used/tokens"], logged["used/flops"]) == (row.tokens, row.flops)


def test_a_search_that_counts_nothing_has_used_nothing():
    plain = type("Plain", (Spelling,), {"spent": SearchModule.spent})
    assert plain().spent() == (0, 0.0)
