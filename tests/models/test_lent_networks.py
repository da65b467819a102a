"""One network in memory that two models hold at once."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from tests.factories.virtual import accelerators, lies
from tests.models.test_in_memory import assert_same, outputs, state


@pytest.fixture
def given(folder):
    """A look-alike as the user has it after training."""
    return AutoModelForCausalLM.from_pretrained(folder("gpt2")).train()


@pytest.mark.parametrize("first", [0, 1])
def test_a_network_of_two_models_is_put_back_by_the_last(first, given):
    before = state(given)
    models = [CausalLM(given), CausalLM(given, start="none")]
    for model in models:
        model.load()
    assert [model.shares for model in models] == [True, True]
    last = models[1 - first]
    expected = outputs(last)
    models[first].unload()
    assert not given.training
    assert not any(weight.requires_grad for weight in given.parameters())
    assert torch.equal(outputs(last), expected)
    last.unload()
    assert_same(state(given), before)


def test_a_network_of_two_models_lies_on_one_device(folder):
    with accelerators():
        given = AutoModelForCausalLM.from_pretrained(folder("gpt2")).train()
        first, second = CausalLM(given), CausalLM(given, start="none")
        first.load("cuda:0")
        with pytest.raises(FuseError, match="is on cuda:0 for another model"):
            second.load("cuda:1")
        assert lies(next(given.parameters())) == torch.device("cuda:0")
        first.unload()
        assert lies(next(given.parameters())) == torch.device("cpu")
