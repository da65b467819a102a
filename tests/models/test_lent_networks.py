"""Networks in memory that are moved to a search, or that two models hold at once."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from tests.factories.virtual import accelerators, lies
from tests.models.test_in_memory import assert_same, outputs, state


@pytest.fixture
def network(folder):
    """A look-alike as the user has it after training: in memory, in training mode."""
    return lambda name: AutoModelForCausalLM.from_pretrained(folder(name)).train()


@pytest.mark.parametrize("first", [0, 1])
def test_a_network_of_two_models_is_put_back_by_the_last(first, network):
    given = network("gpt2")
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


def test_a_network_of_two_models_lies_on_one_device(network):
    with accelerators():
        given = network("gpt2")
        first, second = CausalLM(given), CausalLM(given, start="none")
        first.load("cuda:0")
        with pytest.raises(FuseError, match="is on cuda:0 for another model"):
            second.load("cuda:1")
        assert lies(next(given.parameters())) == torch.device("cuda:0")
        first.unload()
        assert lies(next(given.parameters())) == torch.device("cpu")


def test_a_network_is_moved_to_the_search_and_back(network):
    with accelerators():
        given = network("gpt2")
        model = CausalLM(given)
        model.load("cuda:1")
        assert model.device == torch.device("cuda:1")
        assert {lies(weight) for weight in given.parameters()} == {torch.device("cuda:1")}
        assert lies(outputs(model)) == torch.device("cuda:1")
        model.unload()
        assert {lies(weight) for weight in given.parameters()} == {torch.device("cpu")}
        own = CausalLM(given, device="cuda:0")
        own.load("cpu")
        assert own.device == torch.device("cuda:0")


def test_a_network_over_several_devices_stays_where_it_is(network):
    with accelerators():
        given = network("gpt2")
        given.transformer.h[1].to("cuda:1")
        with pytest.raises(FuseError, match=r"is spread over devices .* leave device out"):
            CausalLM(given, device="cuda:0").load()
        assert given.training
