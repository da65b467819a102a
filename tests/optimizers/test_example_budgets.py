"""Evaluations of searches by examples, against the pairs that were really computed."""

import pytest
from lightning.pytorch.callbacks import ModelCheckpoint

from fuse_lightning.data import Target
from fuse_lightning.data.module import TargetDataModule
from fuse_lightning.objectives import Classification
from fuse_lightning.objectives.example_scores import ExampleScores
from fuse_lightning.optimizers import GCG, RandomSearch
from fuse_lightning.search import BeamSearch
from tests.optimizers.runs import close, fit, found

TEXTS = ["a red star", "two tiles", "a circle", "the snow above", "lovely teal", "a box"]


class Moods(TargetDataModule):
    """Two targets of labelled texts, of which some choose."""

    def all_targets(self):
        """The targets, in order."""
        rows = [
            {"text": text, "label": "good" if number % 2 else "bad"}
            for number, text in enumerate(TEXTS)
        ]
        labels = {"good": ["good"], "bad": ["bad"]}
        return [
            Target("four", examples=rows[:4], select=rows[4:], labels=labels),
            Target("three", examples=rows[:3], select=rows[3:], labels=labels),
        ]


def optimizer(kind, folders, **options):
    term = Classification(folders["gpt2"], layout="{prompt} {text} It was{answer}")
    options = {"steps": 4, "batch_size": 6, "prompt_length": 3, "seed": 1, **options}
    return kind([term], examples_per_step=2, gradient_samples=2, **options)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_each_computed_pair_is_one_evaluation(folders, tmp_path, monkeypatch, batch_size):
    computed, read, module = {}, ExampleScores._read, optimizer(RandomSearch, folders)

    def note(scores, prompts, wanted):
        for row, number in wanted:
            name = module.targets[prompts.owners[row]].id
            computed.setdefault(name, []).append((prompts.states[row], number))
        return read(scores, prompts, wanted)

    monkeypatch.setattr(ExampleScores, "_read", note)
    fit(module, Moods(batch_size=batch_size), tmp_path, BeamSearch(2))
    assert {row.target: row.evaluations for row in module.results} == {
        name: len(pairs) for name, pairs in computed.items()
    }
    assert all(len(pairs) == len({*pairs}) for pairs in computed.values())


@pytest.mark.parametrize("kind", [RandomSearch, GCG])
def test_a_resumed_search_counts_as_if_it_had_not_been_stopped(folders, tmp_path, double, kind):
    whole = optimizer(kind, folders)
    saver = ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=1, save_top_k=-1)
    fit(whole, Moods(batch_size=2), tmp_path / "whole", BeamSearch(2), saver)
    (checkpoint,) = (tmp_path / "ckpt").glob("*step=2.ckpt")
    rest = optimizer(kind, folders)
    fit(rest, Moods(batch_size=2), tmp_path / "rest", BeamSearch(2), ckpt_path=checkpoint)
    assert found(rest) == close(found(whole))


def test_a_budget_of_pairs_ends_a_search(folders, tmp_path):
    module = optimizer(RandomSearch, folders, max_evaluations=1)
    fit(module, Moods(batch_size=2), tmp_path, BeamSearch(2))
    assert [search.step for search in module.searches] == [1, 1]
    assert all(row.evaluations > 1 for row in module.results)
