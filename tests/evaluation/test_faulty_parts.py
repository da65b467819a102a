"""Measures, floors, data modules and searches of a user's own that give what cannot be measured."""

import math

import pytest
import torch
from lightning.pytorch import LightningDataModule
from torchmetrics import Metric

from fuse_lightning.callbacks import Evaluation
from fuse_lightning.data import ImageTargets, TextTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation import Floor, Measure
from fuse_lightning.metrics import MeanScore
from tests.evaluation.test_own_parts import measured
from tests.search.spelling import Spelling
from tests.search.test_checks import trainer_of


class Gives(Floor):
    """A floor that gives one thing."""

    def __init__(self, given, name="gives"):
        self.given, self.name = given, name

    def prompt(self, target):
        return self.given


@pytest.mark.parametrize("given", [5, ("a", "star"), b"a star", "a \ud800 star"])
def test_a_floor_that_gives_no_text_is_named(given, tmp_path):
    line = "floor 'gives' gives target 'scene-0' the prompt .*, which is no text; return a text, or"
    with pytest.raises(FuseError, match=line):
        measured(ImageTargets("zoo/scenes", limit=2), tmp_path, floors=[Gives(given)])


class Own(Measure):
    """A measure with a metric that is given."""

    name = "own"

    def __init__(self, make):
        self.make = make

    def metric(self):
        return self.make()

    def update(self, metric, prompts):
        metric.update([1.0 for _ in prompts])


@pytest.mark.parametrize("given", [None, 5, MeanScore])
def test_a_measure_without_a_metric_is_named(given, tmp_path):
    with pytest.raises(FuseError, match=r"Own.metric returns .*; return a metric of torchmetrics"):
        measured(ImageTargets("zoo/scenes", limit=2), tmp_path, measures=[Own(lambda: given)])


class Broken(Metric):
    """A metric that cannot be computed."""

    def __init__(self):
        super().__init__()
        self.add_state("seen", torch.zeros(()), dist_reduce_fx="sum")

    def update(self, values):
        self.seen += len(values)

    def compute(self):
        raise KeyError("no such key")


def test_a_metric_that_cannot_be_computed_costs_no_other_figure(tmp_path, caplog):
    data = ImageTargets("zoo/scenes", limit=2)
    figures = measured(data, tmp_path, measures=[Own(Broken)])
    assert math.isnan(figures["found"]["own"])
    assert figures["found"]["words"] == 3
    assert "own is left out: its metric raises KeyError('no such key')" in caplog.text


class Stops(Own):
    """A measure with an iterator that is empty too soon."""

    def update(self, metric, prompts):
        next(iter([]))


def test_an_iterator_that_is_empty_ends_no_evaluation_as_if_it_were_done(tmp_path):
    data = ImageTargets("zoo/scenes", limit=2)
    with pytest.raises(RuntimeError, match="a StopIteration was raised"):
        measured(data, tmp_path, measures=[Stops(lambda: MeanScore("share"))])
    assert not (tmp_path / "evaluation.json").exists()


class Brings(ImageTargets):
    """A data module that brings no list."""

    def measures(self):
        return None


def test_a_data_module_that_brings_no_list_is_named(tmp_path):
    with pytest.raises(FuseError, match=r"Brings.measures gives None; return a list of them"):
        measured(Brings("zoo/scenes", limit=2), tmp_path)


def test_a_search_without_an_objective_is_named_where_prompts_are_measured(tmp_path):
    runner = trainer_of(tmp_path, Evaluation())
    with pytest.raises(FuseError, match=r"Evaluation scores prompts .*, and Spelling has none"):
        runner.validate(Spelling(), TextTargets(["bead"]), verbose=False)


def test_a_data_module_without_targets_is_named(tmp_path):
    class Other(LightningDataModule):
        def val_dataloader(self):
            return [1]

    with pytest.raises(FuseError, match="the trainer's data module is Other, which has no targets"):
        measured(Other(), tmp_path)
