"""Frontiers and optimizers of a user's own that give or keep what no search can go on with."""

import io
from pathlib import Path

import lightning as L
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightning.pytorch.callbacks import ModelCheckpoint

from fuse_lightning.callbacks import PromptWriter
from fuse_lightning.data import TextTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.search import BeamSearch
from fuse_lightning.search.checks import check_plain
from tests.search.spelling import WORDS, Spelling

KEYS = st.text() | st.integers() | st.tuples(st.integers(), st.text())
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text())
VALUES = st.recursive(
    LEAVES | st.sets(KEYS),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(KEYS, inner)
        | st.lists(inner).map(tuple)
        | st.just(Path("a"))
        | st.just(range(3))
        | st.just(frozenset({1}))
    ),
)


def trainer_of(folder, *callbacks, **options):
    """A trainer of searches in a folder."""
    return L.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        callbacks=[*callbacks],
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **options,
    )


def search(folder, frontier, module=None):
    """The results of a short search with a frontier."""
    module = module or Spelling(steps=4)
    runner = trainer_of(folder, frontier, PromptWriter(), enable_checkpointing=False)
    runner.fit(module, TextTargets(WORDS[:3], batch_size=2))
    return module.results


@given(VALUES)
def test_what_is_plain_comes_out_of_a_checkpoint_as_it_went_in(value):
    file = io.BytesIO()
    try:
        check_plain(value, "it")
    except FuseError:
        torch.save(value, file)
        file.seek(0)
        with pytest.raises(Exception, match=r"weights_only|Unsupported"):
            torch.load(file, weights_only=True)
    else:
        torch.save(value, file)
        file.seek(0)
        found = torch.load(file, weights_only=True)
        assert found == value
        assert type(found) is type(value)


class Expands(BeamSearch):
    """Beam search that expands something else."""

    def __init__(self, expands):
        super().__init__(2)
        self.expands = expands

    def expand(self):
        return self.expands(super().expand())


class Keeps(BeamSearch):
    """Beam search that keeps something else."""

    def __init__(self, keeps):
        super().__init__(2)
        self.keeps = keeps

    def update(self, candidates):
        super().update(candidates)
        self.frontiers = self.keeps(self.frontiers)


@pytest.mark.parametrize(
    ("expands", "line"),
    [
        (lambda found: None, "Expands.expand returns None, which is no list"),
        (lambda found: [None, *found[1:]], "Expands.expand returns None, which is no list"),
        (lambda found: iter(found), "Expands.expand returns <.*>, which is no list"),
        (lambda found: ["a" for _ in found], "Expands.expand returns 'a', which is no list"),
        (lambda found: found[:-1], "Expands.expand returns 1 lists, but there are 2 targets"),
        (lambda found: [*found, []], "Expands.expand returns 3 lists, but there are 2 targets"),
        (
            lambda found: [[["a"]], *found[1:]],
            r"the state \['a'\], of type list, which has no hash",
        ),
    ],
)
def test_a_frontier_that_expands_no_states_is_named(tmp_path, expands, line):
    with pytest.raises(FuseError, match=line):
        search(tmp_path, Expands(expands))


@pytest.mark.parametrize(
    ("keeps", "line"),
    [
        (lambda found: None, "Keeps.frontiers holds None, which is no list"),
        (lambda found: found[:-1], "Keeps.frontiers holds 1 lists, but there are 2 targets"),
        (
            lambda found: [[state for _, state in group] for group in found],
            r"Keeps.frontiers holds '\w*', which is no such pair; keep a list of \(loss, state\)",
        ),
        (
            lambda found: [[(state, loss) for loss, state in group] for group in found],
            r"Keeps.frontiers holds \('.*', [\d.]+\), which is no such pair",
        ),
        (
            lambda found: [[(0.0, 5)] for _ in found],
            r"Keeps keeps 5, which is no state of Spelling \(5 is no text\)",
        ),
    ],
)
def test_a_frontier_that_keeps_no_states_is_named(tmp_path, keeps, line):
    with pytest.raises(FuseError, match=line):
        search(tmp_path, Keeps(keeps))


class Own(BeamSearch):
    """Beam search that keeps something of each target beside its states."""

    def __init__(self, begins, becomes):
        super().__init__(2)
        self.begins, self.becomes = begins, becomes

    def begin_own(self):
        return self.begins

    def update(self, candidates):
        super().update(candidates)
        self.own = [self.becomes for _ in self.own]


@pytest.mark.parametrize(
    ("begins", "becomes", "line"),
    [
        (None, None, "Own.begin_own returns None, which is no dict; return {} for nothing"),
        ({}, {"seen": 1}, "{'seen': 1} is not what Own keeps of a target; it begins with {}"),
        ({"seen": 0}, {"seen": "a"}, "{'seen': 'a'} is not what Own keeps of a target"),
        (
            {"seen": None},
            {"seen": range(3)},
            r"range\(0, 3\) is of type range, which no checkpoint",
        ),
    ],
)
def test_what_a_frontier_could_not_restore_is_named_at_once(tmp_path, begins, becomes, line):
    with pytest.raises(FuseError, match=line):
        search(tmp_path, Own(begins, becomes))


class Hoarder(Spelling):
    """Search that keeps something of each target from its first step on."""

    def __init__(self, kept):
        super().__init__(steps=4)
        self.kept = kept

    def propose(self, states):
        for each in self.searches:
            each.own = {"seen": 0, "kept": self.kept}
        return super().propose(states)


@pytest.mark.parametrize("kept", [Path("a"), [range(3)], {"a": (lambda: 0,)}, torch.Generator()])
def test_what_an_optimizer_keeps_and_no_checkpoint_can_hold_is_named_at_once(tmp_path, kept):
    with pytest.raises(FuseError, match=r"Hoarder keeps {'seen'.* is of type .* no checkpoint can"):
        search(tmp_path, BeamSearch(2), Hoarder(kept))


def test_own_state_that_is_no_dict_is_named(tmp_path):
    class Lister(Spelling):
        def refine(self, scored):
            for each in self.searches:
                each.own = [1]
            return super().refine(scored)

    with pytest.raises(FuseError, match=r"Lister keeps \[1\] in the own state of 'bead'; keep a"):
        search(tmp_path, BeamSearch(2), Lister(steps=4))


def test_what_begins_with_nothing_may_become_anything_and_goes_on(tmp_path):
    whole = search(tmp_path / "whole", Own({"seen": None}, {"seen": 3}))
    frontier = Own({"seen": None}, {"seen": 3})
    saver = ModelCheckpoint(tmp_path / "saved", every_n_train_steps=1, save_top_k=-1)
    trainer_of(tmp_path / "cut", frontier, saver, max_steps=2).fit(
        Spelling(steps=4), TextTargets(WORDS[:3], batch_size=2)
    )
    module = Spelling(steps=4)
    (path,) = (tmp_path / "saved").glob("*step=2.ckpt")
    trainer_of(tmp_path / "cut", frontier).fit(
        module, TextTargets(WORDS[:3], batch_size=2), ckpt_path=path
    )
    assert frontier.own
    assert [(row.prompt, row.loss) for row in module.results] == [
        (row.prompt, row.loss) for row in whole
    ]


class Stops(Spelling):
    """Search with an iterator that is empty too soon."""

    def propose(self, states):
        if self.searches[0].step == 2:
            next(iter([]))
        return super().propose(states)


def test_an_iterator_that_is_empty_ends_no_search_as_if_it_were_done(tmp_path):
    with pytest.raises(RuntimeError, match="a StopIteration was raised"):
        search(tmp_path, BeamSearch(2), Stops(steps=4))


class Longer(Spelling):
    """Search that gives itself more steps than it was dealt."""

    def propose(self, states):
        self.steps = 9
        return super().propose(states)


def test_a_search_that_wants_more_steps_than_it_was_dealt_keeps_its_results(tmp_path):
    wanted = search(tmp_path / "plain", BeamSearch(2))
    found = search(tmp_path / "longer", BeamSearch(2), Longer(steps=4))
    assert [(row.target, row.prompt, row.loss) for row in found] == [
        (row.target, row.prompt, row.loss) for row in wanted
    ]
    assert len(found) == 3
    assert all(row.finished for row in found)


def test_a_run_of_another_version_is_said_to_be_one(tmp_path):
    module = Spelling()
    now = module.identity(trainer=trainer_of(tmp_path, BeamSearch(2)))
    known = {name: text for name, text in now.items() if name != "frontier"}
    known |= {"search strategy": "BeamSearch"}
    with pytest.raises(FuseError, match=r"the run is of another version of this package; start a"):
        module.check_identity(known, "the run", trainer=trainer_of(tmp_path, BeamSearch(2)))


def test_a_frontier_that_was_edited_since_is_named_where_it_goes_on(tmp_path):
    saver = ModelCheckpoint(tmp_path / "saved", every_n_train_steps=1, save_top_k=-1)
    data = TextTargets(WORDS[:3], batch_size=2)
    frontier = Own({"seen": 0}, {"seen": 3})
    trainer_of(tmp_path, frontier, saver, max_steps=2).fit(Spelling(steps=4), data)
    (path,) = (tmp_path / "saved").glob("*step=2.ckpt")
    edited = trainer_of(tmp_path, Own({"met": 0}, {"met": 3}))
    with pytest.raises(FuseError, match=r"{'seen': 3} is not what Own keeps .*with {'met': 0}"):
        edited.fit(Spelling(steps=4), TextTargets(WORDS[:3], batch_size=2), ckpt_path=path)
