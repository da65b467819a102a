"""Backward passes over many rows: their order, and memory that runs out in the middle."""

import itertools

import pytest
import torch

from fuse_lightning.data import Target
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import Classification, Objective, backward, embedding_gradient
from fuse_lightning.objectives.backward import Families
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


LAYOUTS = ("{prompt} {text}{answer}", "{text} {prompt}{answer}", "{text} {prompt} as{answer}")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_labels_of_one_token_share_one_row_with_a_gradient(layout, monkeypatch):
    objective = Objective([Classification("zoo/gpt2", layout)])
    objective.load()
    pieces = [text for text in objective.primary.pieces if text[:1] == " " and text[1:].isalpha()]
    words = [text.strip() for text in sorted(pieces, key=len)[-3:]]
    labels = {"good": words[:2], "bad": words[2:]}
    examples = [{"text": text, "label": [*labels][number]} for text, number in EXAMPLES]
    objective.set_targets([Target("a", examples=examples, labels=labels)])
    prompts = objective.prompts(objective.encode_prompts(["so small", "night", "a box"]), [0] * 3)
    found, read = [], []
    forward = CausalLM.logits_at

    def logits_at(model, places, ids, mask, embeds=None, positions=None):
        read.append(0 if embeds is None else len(ids))
        return forward(model, places, ids, mask, embeds, positions)

    monkeypatch.setattr(CausalLM, "logits_at", logits_at)
    for alike in (Families.alike, lambda *_: None):
        monkeypatch.setattr(Families, "alike", alike)
        objective.scores.forget()
        read.clear()
        found.append((*embedding_gradient(objective, prompts), sum(read)))
    (gradient, losses, rows), (expected, wanted, all_rows) = found
    assert (rows, all_rows) == (9, 27)
    assert_near(losses, wanted)
    assert_near(gradient, expected)


def test_a_prompt_at_two_columns_of_equal_rows_has_two_gradients(monkeypatch):
    """Rows of one text, of which the prompt is another part, share nothing."""
    layout = "{first} {prompt} {second}{answer}"
    objective = Objective([Classification("zoo/gpt2", layout, words={"x": "happy", "y": "sad"})])
    objective.load()
    examples = [
        {"first": "a", "second": "a a red", "label": "x"},
        {"first": "a a", "second": "a red", "label": "y"},
    ]
    labels = {"x": ["happy"], "y": ["sad"]}
    objective.set_targets([Target("a", examples=examples, labels=labels)])
    prompts = objective.prompts(objective.encode_prompts(["a"]), [0])
    gradient, _ = embedding_gradient(objective, prompts)
    monkeypatch.setattr(Families, "alike", lambda *_: None)
    expected, _ = embedding_gradient(objective, prompts)
    assert_near(gradient, expected)


@pytest.mark.parametrize("tokens", [8192, 120, 40])
def test_a_loss_that_couples_rows_is_read_once_where_a_pair_fits(monkeypatch, tokens):
    objective = Objective([Labels("zoo/gpt2", ["happy", "sad"], layout="{text} {prompt}{answer}")])
    objective.load()
    objective.set_targets([Target(name, metadata={"examples": EXAMPLES}) for name in "ab"])
    prompts = prompts_of(objective)
    monkeypatch.setattr(backward, "_coupled", lambda *_: False)
    expected, wanted = embedding_gradient(objective, prompts)
    monkeypatch.undo()
    budget, plain, loss = objective.primary.budget, [], Labels.loss
    budget.tokens = budget.most = tokens

    def noted(self, reading, embeds=None):
        plain.append(embeds is None)
        return loss(self, reading, embeds)

    monkeypatch.setattr(Labels, "loss", noted)
    found, losses = embedding_gradient(objective, prompts)
    # A pair that takes more than the share of one backward is split, and read twice.
    assert any(plain) == (tokens == 40)
    assert_near(found, expected)
    assert_near(losses, wanted)
