"""Backward passes over many rows: their order, and memory that runs out in the middle."""

import itertools

import pytest
import torch

from fuse_lightning.data import Target
from fuse_lightning.objectives import Objective, backward, embedding_gradient
from tests.factories.terms import Labels
from tests.near import assert_near

EXAMPLES = [("a red star", 0), ("a box", 1), ("two tiles", 1)]


@pytest.fixture
def objective():
    found = Objective([Labels("zoo/gpt2", ["happy", "sad"], layout="{text} {prompt}{answer}")])
    found.load()
    found.set_targets([Target(name, metadata={"examples": EXAMPLES}) for name in "ab"])
    return found


def prompts_of(objective):
    texts = ["so small", "night", "a box", "red"]
    return objective.prompts(objective.encode_prompts(texts), [0, 1, 0, 1])


def test_rows_of_one_example_are_read_beside_each_other(objective, monkeypatch):
    seen, loss = [], Labels.loss

    def noted(self, reading, embeds=None):
        if embeds is not None:
            seen.extend(zip(reading.owner.tolist(), reading.example.tolist(), strict=True))
        return loss(self, reading, embeds)

    monkeypatch.setattr(Labels, "loss", noted)
    embedding_gradient(objective, prompts_of(objective))
    assert seen == sorted(seen)


@pytest.mark.parametrize("failing", range(5))
def test_a_gradient_is_added_once_where_memory_runs_out_behind_it(objective, monkeypatch, failing):
    prompts, copy, calls = prompts_of(objective), backward.to_device, itertools.count()
    objective.primary.budget.tokens = objective.primary.budget.most = 200
    expected, _ = embedding_gradient(objective, prompts)

    def to_device(tensor, device):
        if torch.is_floating_point(tensor) and next(calls) == failing:
            raise torch.OutOfMemoryError
        return copy(tensor, device)

    monkeypatch.setattr(backward, "to_device", to_device)
    found, _ = embedding_gradient(objective, prompts)
    assert next(calls) > failing
    assert_near(found, expected, share=1e-4)
