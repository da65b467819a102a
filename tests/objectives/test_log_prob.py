import pytest
import torch
from hypothesis import given, settings
from torch import nn

from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Fluency, LogProb
from tests.near import assert_near, near
from tests.objectives.causal import (
    PREFIX,
    batches,
    both_ways,
    check_differences,
    check_gradients,
    every_lm,
    plain,
    prompt_places,
    prompts,
    prompts_of,
)

TEXT = "two red houses at night!"


@pytest.fixture(scope="module")
def objectives(causal_folders):
    return {name: both_ways(LogProb, folder) for name, folder in causal_folders.items()}


def reference(model, text, owner):
    """The published sum; the hidden states are what the head must have read to say this."""
    whole = plain(model, f"{PREFIX} {text}")
    states = torch.linalg.lstsq(whole.head, whole.logits.T).solution.T
    total = torch.zeros((), dtype=torch.float64)
    for place in prompt_places(model, text):
        before = states[place - 1]
        scores = whole.table @ before
        total = total - (whole.embeds[0, place] @ before - scores.exp().sum().log())
    return total, whole


@every_lm
@settings(max_examples=8, deadline=None)
@given(texts=batches)
def test_loss_is_the_sum_of_each_prompt_alone(objectives, name, texts):
    objective = objectives[name]
    losses = objective.losses(prompts_of(objective, texts))
    for text, row in zip(texts, losses, strict=True):
        expected, _ = reference(objective.primary, text, 0)
        assert_near(row, expected.expand(2))


@every_lm
def test_gradients_are_those_of_each_prompt_alone(objectives, name):
    objective = objectives[name]
    check_gradients(objective, prompts_of(objective, [TEXT, "sea,", "a dog's 3"]), reference)


def test_gradient_equals_differences(causal_folders, monkeypatch):
    objective = both_ways(LogProb, causal_folders["tiny"])
    check_differences(objective, prompts_of(objective, [TEXT, "sea,"]), monkeypatch)


@settings(max_examples=20, deadline=None)
@given(text=prompts)
def test_with_a_tied_head_it_is_the_likelihood(causal_folders, objectives, text):
    objective = objectives["tiny"]
    term = Fluency(objective.primary, prefix=PREFIX)
    prompt = prompts_of(objective, [text])
    own = float(objective.losses(prompt)[0, 0])
    mean = float(objective.scores.term_losses(term, prompt))
    assert own == near(mean * len(prompt.states[0]), size=1)


def test_gradient_reaches_the_last_token(objectives):
    objective = objectives["tiny"]
    term, prompt = objective.terms[0], prompts_of(objective, [TEXT])
    reading = term.read(prompt)
    embeds = term.model.embed(reading.rows.ids).detach().requires_grad_()
    (grad,) = torch.autograd.grad(term.loss(reading, embeds).sum(), embeds)
    assert (grad[0, prompt_places(term.model, TEXT)].abs().sum(-1) > 0).all()


def test_the_head_is_left_as_it_was(objectives):
    objective = objectives["tiny"]
    objective.losses(prompts_of(objective, [TEXT]))
    assert not objective.primary.module.get_output_embeddings()._forward_pre_hooks


def test_states_of_another_width_than_the_embeddings_are_refused(causal_folders):
    objective = both_ways(LogProb, causal_folders["opt"])
    module = objective.primary.module
    module.model.decoder.project_out = None
    module.set_output_embeddings(nn.Linear(24, module.config.vocab_size))
    with pytest.raises(FuseError, match="width 24 but embeddings of width 16"):
        objective.terms[0].check()
    module.set_output_embeddings(None)
    with pytest.raises(FuseError, match="no output head"):
        objective.terms[0].check()
