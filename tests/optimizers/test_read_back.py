"""What is reported is a text: its loss is that of the text as it is read."""

from operator import attrgetter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.data import ImageTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.optimizers import AutoDAN, PromptOptimizer
from fuse_lightning.optimizers.constraints import Constraints
from fuse_lightning.search import BeamSearch, GreedySearch
from fuse_lightning.search.target_search import Best, TargetSearch
from tests.optimizers.runs import build, fit


class Letters(PromptOptimizer):
    """Proposes texts letter by letter, which no tokenizer reads so."""

    texts = ("two red stars", "red", "a circle above", "stars")
    words = ("red star",)

    def propose(self, states):
        pieces = {piece: index for index, piece in enumerate(self.objective.primary.pieces)}
        spelt = [tuple(pieces[letter] for letter in f" {text}") for text in self.texts]
        read = self.objective.encode_prompts(self.words)
        return [[*spelt, *read] for _ in states]


class OnlyLetters(Letters):
    words = ()


def exact(module, text):
    objective = module.objective
    state = objective.encode_prompt(text)
    losses = objective.losses(objective.prompts([state], [0]), again=True)
    return state, float(objective.total(losses)[0])


@pytest.mark.parametrize("top", [1, 3])
def test_what_is_not_read_as_its_ids_is_no_result(top, folders, pictures, tmp_path):
    module = build(Letters, folders, steps=2, top=top)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert [row.prompt for row in module.results] == ["red star"]
    state, loss = exact(module, "red star")
    assert tuple(module.results[0].ids) == state
    assert module.results[0].loss == pytest.approx(loss, rel=1e-5)


def test_an_optimizer_that_proposes_nothing_else_finds_nothing(folders, pictures, tmp_path):
    module = build(OnlyLetters, folders, steps=2)
    with pytest.raises(FuseError, match="no prompt was found"):
        fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())


def test_where_any_ids_may_be_proposed_the_texts_loss_is_told(folders, pictures, tmp_path):
    module = build(Letters, folders, steps=2, top=9, constraints=Constraints(canonical=False))
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert {row.prompt for row in module.results} == {*Letters.texts, *Letters.words}
    for row in module.results:
        state, loss = exact(module, row.prompt)
        assert tuple(row.ids) == state
        assert row.loss == pytest.approx(loss, rel=1e-5)
    losses = [row.loss for row in module.results]
    assert losses == sorted(losses)


def test_a_search_over_any_ids_tells_the_texts_loss(folders, pictures, tmp_path):
    options = {"steps": 4, "batch_size": 40, "gradient_samples": 2, "top": 5}
    module = build(AutoDAN, folders, constraints=Constraints(canonical=False), **options)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, BeamSearch(3))
    assert len(module.results) == 5
    for row in module.results:
        state, loss = exact(module, row.prompt)
        assert tuple(row.ids) == state
        assert row.loss == pytest.approx(loss, rel=1e-5)


FOUND = st.tuples(st.integers(0, 9), st.sampled_from("abcd"), st.integers(0, 2))


@given(st.lists(FOUND, max_size=20), st.integers(1, 4))
def test_the_best_texts_are_kept_each_with_its_best_ids(found, top):
    # The same ids have the same loss.
    loss_of = {(text, ids): loss for loss, text, ids in reversed(found)}
    search = TargetSearch.begin("one", "", 0)
    for step, (_, text, ids) in enumerate(found):
        loss = float(loss_of[text, ids])
        search.keep(Best(loss, [loss], (ids,), text, step), top)
    least = {text: min(loss_of[t, i] for t, i in loss_of if t == text) for text, _ in loss_of}
    assert [best.loss for best in search.kept] == sorted(least.values())[:top]
    assert all(best.loss == least[best.prompt] for best in search.kept)
    assert len({best.prompt for best in search.kept}) == len(search.kept)
    assert search.kept == sorted(search.kept, key=attrgetter("loss"))


@pytest.mark.parametrize("loss", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_is_never_kept(loss):
    search = TargetSearch.begin("one", "", 0)
    search.keep(Best(loss, [loss], (1,), "a", 1), 2)
    assert search.best is None
