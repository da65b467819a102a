"""What an optimizer proposes is checked before it is scored, whoever wrote the optimizer."""

import logging

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuse_lightning.data import ImageTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Fluency, Objective
from fuse_lightning.optimizers import Constraints, PromptOptimizer
from fuse_lightning.optimizers.admission import Admission
from fuse_lightning.search import Best, GreedySearch, TargetSearch
from tests.optimizers.runs import build, fit

WARNING = "{1} of {0} prompts that Homemade proposed {2} dropped: a prompt is dropped if"


class Homemade(PromptOptimizer):
    """Proposes whatever it is told, and a good prompt."""

    def __init__(self, terms, told=lambda module: [], good=("red star",), **options):
        super().__init__(terms, **options)
        self.told = told
        self.good = good

    def propose(self, states):
        good = self.objective.encode_prompts(self.good)
        return [[*self.told(self), *good] for _ in states]


def letters(module, text=" two red stars"):
    """A prompt letter by letter, which no tokenizer reads so."""
    pieces = {piece: index for index, piece in enumerate(module.objective.primary.pieces)}
    return tuple(pieces[letter] for letter in text)


def run(folders, pictures, folder, **options):
    module = build(Homemade, folders, **{"steps": 3, **options})
    fit(module, ImageTargets(str(pictures / "0.png")), folder, GreedySearch())
    return module


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (lambda _: [[1, 2]], r"Homemade proposes \[1, 2\], which is a list; give tuples of ints"),
        (lambda _: ["red"], r"Homemade proposes 'red', which is a str; give tuples of ints"),
        (lambda _: [torch.tensor([5])], r"Homemade proposes tensor\(\[5\]\), which is a Tensor;"),
        (lambda _: [(1, 2.0)], r"Homemade proposes \(1, 2.0\), whose 2.0 is no id of '.*gpt2'"),
        (lambda _: [(1, [2])], r"Homemade proposes \(1, \[2\]\), whose \[2\] is no id"),
        (lambda _: [(1, True)], r"Homemade proposes \(1, True\), whose True is no id"),
        (lambda _: [(torch.tensor(1),)], r"whose tensor\(1\) is no id"),
        (lambda _: [(1, -1)], r"Homemade proposes \(1, -1\), whose -1 is no id"),
        (lambda _: [(10**6,)], r"whose 1000000 is no id of .*; give tuples of ints from 0 to \d+$"),
    ],
)
def test_what_is_no_tuple_of_ids_is_refused_in_one_line(told, message, folders, pictures, tmp_path):
    with pytest.raises(FuseError, match=message) as caught:
        run(folders, pictures, tmp_path, told=told)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("proposed", "message"),
    [
        ([[], []], "Homemade proposes for 2 targets, but there are 1; return a list"),
        (None, "Homemade proposes None, which is no list; return a list of candidates for each"),
        ("a", "Homemade proposes 'a', which is no list; return a list of candidates for each"),
        ([None], "Homemade proposes None, which is no list; return a list"),
        (
            torch.zeros(1, 1, 2),
            r"Homemade proposes tensor\(\[\[\[0., 0.\]\]\]\), which is no list;",
        ),
    ],
)
def test_every_target_needs_a_list_of_its_own(proposed, message, folders, pictures, tmp_path):
    class Homemade(PromptOptimizer):
        def propose(self, states):
            return proposed

    module = build(Homemade, folders, steps=2)
    with pytest.raises(FuseError, match=message):
        fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())


def special(module):
    return [(module.objective.primary.end_ids[0],), letters(module)]


@pytest.mark.parametrize(("told", "count"), [(lambda module: [letters(module)], 1), (special, 2)])
def test_what_cannot_be_a_prompt_is_dropped_and_told_once(
    told, count, folders, pictures, tmp_path, caplog
):
    with caplog.at_level(logging.WARNING):
        module = run(folders, pictures, tmp_path, told=told)
    lines = [line for line in caplog.messages if "dropped" in line]
    assert len(lines) == 1
    assert lines[0].startswith(WARNING.format(count + 1, count, "is" if count == 1 else "are"))
    (row,) = module.results
    assert row.prompt == "red star"


def test_the_search_does_not_go_on_from_what_was_dropped(folders, pictures, tmp_path):
    expanded = []

    class Homemade(PromptOptimizer):
        def propose(self, states):
            expanded.extend(states)
            # The best of these by far, and no prompt.
            return [[letters(self), *self.objective.encode_prompts(["red star"])] for _ in states]

    terms = [Fluency(folders["gpt2"])]
    module = Homemade(terms, steps=3)
    module.load()
    unread, read = letters(module), module.objective.encode_prompt("red star")
    losses = module.objective.losses

    def flattering(prompts, **options):
        found = losses(prompts, **options)
        for row, state in enumerate(prompts.states):
            found[row] = -1e3 if state == unread else found[row]
        return found

    module.objective.losses = flattering
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert expanded == [[()], [read], [read]]


def test_where_all_is_dropped_the_run_says_so(folders, pictures, tmp_path, caplog):
    with (
        pytest.raises(FuseError, match="no prompt was found for target"),
        caplog.at_level(logging.WARNING),
    ):
        run(folders, pictures, tmp_path, told=lambda module: [letters(module)], good=())
    assert any(line.startswith(WARNING.format(1, 1, "is")) for line in caplog.messages)


def test_an_empty_prompt_is_no_result(folders, pictures, tmp_path):
    module = run(folders, pictures, tmp_path / "some", told=lambda _: [()])
    assert [result.prompt for result in module.results] == ["red star"]
    with pytest.raises(FuseError, match="no prompt was found for target"):
        run(folders, pictures, tmp_path / "none", told=lambda _: [()], good=())


def test_what_a_search_stands_at_may_stay_whatever_it_is(folders, caplog):
    """A start that is not read back as itself: a search that finds nothing better goes on."""
    module = build(Homemade, folders)
    module.load()
    state = letters(module)
    with caplog.at_level(logging.WARNING):
        assert module.admission.checked([[state]], [[state]]).states == [state]
        assert module.admission.checked([[], [state]], [[state], []]).states == []
    assert len([line for line in caplog.messages if "dropped" in line]) == 1


@pytest.fixture(scope="module")
def objective(folders):
    objective = Objective([Fluency(folders["gpt2"], prefix="An image of")])
    objective.load()
    return objective


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("tokens", ["any", "ascii", "words"])
@pytest.mark.parametrize("canonical", [True, False])
@given(data=st.data())
def test_what_stays_is_what_a_look_at_each_prompt_says(data, canonical, tokens, objective):
    constraints = Constraints(tokens, canonical=canonical)
    admission = Admission(objective, constraints, "Homemade")
    model = objective.primary
    mask = constraints.mask(model)
    # Whole words are often read back as themselves, whatever stands beside them.
    likely = [token for token in mask.nonzero().flatten().tolist() if model.pieces[token][0] == " "]
    token = st.sampled_from(likely) | st.integers(0, model.vocab_size - 1)
    states = st.lists(st.lists(token, min_size=1, max_size=4).map(tuple), max_size=6)
    proposed = data.draw(st.lists(states, min_size=1, max_size=3))
    expanded = [data.draw(st.lists(st.sampled_from(group or [()]))) for group in proposed]

    def stays(state):
        (same,) = objective.prompts([state], [0]).canonical
        parts = [piece for token in state if not mask[token] for piece in [model.pieces[token]]]
        spelt = all(p and not p.strip(" \ufffd" if tokens == "any" else " ") for p in parts)
        return spelt and (same or not canonical)

    prompts = admission.checked(proposed, expanded)
    wanted = [
        (place, state)
        for place, (group, base) in enumerate(zip(proposed, expanded, strict=True))
        for state in group
        if state in base or stays(state)
    ]
    assert [*zip(prompts.owners, prompts.states, strict=True)] == wanted


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abcde")), max_size=20))
def test_what_is_not_below_the_bar_is_not_kept(found):
    search = TargetSearch.begin("one", "", 0)
    for step, (loss, text) in enumerate(found):
        before, bar = [*search.kept], search.bar(3)
        search.keep(Best(float(loss), [], (loss,), text, step), 3)
        if not loss < bar:
            assert search.kept == before


def test_a_prompt_is_made_for_what_is_good_enough_alone(folders, pictures, tmp_path, monkeypatch):
    made = []

    class Counted(Best):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self.loss)

    monkeypatch.setattr("fuse_lightning.optimizers.base.Best", Counted)
    texts = ["a star", "red", "two red stars", "a blue circle", "the snow", "in the sky"]
    run(folders, pictures, tmp_path, good=texts, steps=1)
    assert len(made) == 1
