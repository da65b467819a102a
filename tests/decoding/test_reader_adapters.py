"""Readers of networks with PEFT adapters: a tuned model and its base share one set of weights."""

import copy

import peft
import pytest
import torch

from fuse_lightning.decoding.contrast import Contrast
from fuse_lightning.decoding.processor import ContrastiveLogitsProcessor
from fuse_lightning.decoding.readers import Readers, StreamNetwork
from fuse_lightning.errors import FuseError
from tests.decoding.alone import log_probs_alone
from tests.decoding.generating import rows
from tests.decoding.networks import qwen3
from tests.decoding.test_readers import SIZE
from tests.near import assert_near


@pytest.fixture
def tuned():
    """Base, and a model with LoRA layers and a whole trained head over a copy of it."""
    base = qwen3()
    config = peft.LoraConfig(
        target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head"], task_type="CAUSAL_LM"
    )
    model = peft.get_peft_model(copy.deepcopy(base), config).eval()
    generator = torch.Generator().manual_seed(3)
    for name, weight in model.named_parameters():
        if "lora_B" in name or "modules_to_save" in name:
            weight.data += 0.5 * torch.randn(weight.shape, generator=generator)
    model.requires_grad_(False)
    # The tuned model, and its base as two networks of their own.
    return model, copy.deepcopy(model), base


def test_one_set_of_weights_equals_two_networks(tuned):
    model, separate, base = tuned
    given = [rows(3, 8), rows(5, 4, seed=1)]
    streams = [StreamNetwork(model), StreamNetwork(model, adapted=False)]
    readers = Readers(streams, given)
    apart = [separate, base]
    expected = log_probs_alone(apart, given)
    assert float((expected[0, 0] - log_probs_alone([base], [given[0]])[0, 0]).abs().max()) > 1
    assert_near(readers.log_probs(), expected, size=SIZE)
    readers.step(torch.tensor([7, 9]))
    readers.select(torch.tensor([1, 0, 1]))
    grown = [[(*some[1], 9), (*some[0], 7), (*some[1], 9)] for some in given]
    assert_near(readers.log_probs(), log_probs_alone(apart, grown), size=SIZE)


def test_an_adapter_is_as_it_was(tuned):
    """What acts and what learns is not changed, also where it was off and where it learns."""
    model, separate, _ = tuned
    layer = model.base_model.model.model.layers[0].self_attn.q_proj

    def states():
        of = [module for module in model.modules() if hasattr(module, "disable_adapters")]
        flags = [module.disable_adapters for module in of]
        return flags, [weight.requires_grad for weight in model.parameters()]

    before = states()
    readers = Readers([StreamNetwork(model, adapted=False)], [rows(3)])
    assert states() == before
    layer.enable_adapters(False)
    layer.lora_A.requires_grad_(True)
    before = states()
    readers.step(torch.tensor([5]))
    assert states() == before
    layer.enable_adapters(True)
    model.requires_grad_(False)
    assert_near(log_probs_alone([model], [rows(4)]), log_probs_alone([separate], [rows(4)]))


def test_an_adapter_is_as_it_was_after_a_failure(tuned, monkeypatch):
    model, separate, _ = tuned

    def fail(*_, **__):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(model.base_model.model.model.norm, "forward", fail)
        with pytest.raises(RuntimeError, match="out of memory"):
            Readers([StreamNetwork(model, adapted=False)], [rows(3)])
    assert_near(log_probs_alone([model], [rows(4)]), log_probs_alone([separate], [rows(4)]))


def test_early_layers_of_a_tuned_model(tuned):
    """The wrapper hides the network that has a head and layers."""
    model, separate, _ = tuned
    inner = separate.get_base_model()
    readers = Readers([StreamNetwork(model, layers=(0, 1))], [rows(3, 5)])
    expected = log_probs_alone([StreamNetwork(inner, layers=(0, 1))], [rows(3, 5)])
    assert_near(readers.log_probs(), expected, size=SIZE)


def test_generation_by_a_tuned_model_against_its_base(tuned):
    model, separate, base = tuned
    prompt = torch.tensor(rows(4))
    written = []
    for network, other in ((model, StreamNetwork(model, adapted=False)), (separate, base)):
        processor = ContrastiveLogitsProcessor([other], Contrast((1, -1), alpha=0.1))
        written.append(
            network.generate(
                input_ids=prompt, max_new_tokens=6, do_sample=False, logits_processor=[processor]
            ).tolist()
        )
    assert written[0] == written[1]


def test_a_network_without_an_adapter():
    with pytest.raises(FuseError, match="Qwen3ForCausalLM has no PEFT adapter"):
        Readers([StreamNetwork(qwen3(), adapted=False)], [rows(3)])
