"""Damped gradients against networks whose branches are written out, and of every family."""

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    GPTNeoXConfig,
    MixtralConfig,
    MptConfig,
)

from fuse_lightning.engine.damping import damped, residual_branches
from fuse_lightning.errors import FuseError
from tests.near import assert_near

SMALL = {"vocab_size": 40, "hidden_size": 16, "num_attention_heads": 2}
BLOCKS = {**SMALL, "num_hidden_layers": 2, "intermediate_size": 24}
CONFIGS = {
    "bloom": BloomConfig(**SMALL, n_layer=2),
    "gemma2": Gemma2Config(**BLOCKS, num_key_value_heads=1, head_dim=8),
    "gpt_neox": GPTNeoXConfig(**BLOCKS),
    "mixtral": MixtralConfig(**BLOCKS, num_key_value_heads=1, num_local_experts=2),
    "mpt": MptConfig(vocab_size=40, d_model=16, n_heads=2, n_layers=2, expansion_ratio=2),
}
FOLDERS = ("gpt2", "llama", "qwen2", "gemma", "opt", "falcon", "mistral")


class Attention(nn.Linear):
    """A branch by its name."""


class FeedForward(nn.Linear):
    """Another one, which gives a tuple."""

    def forward(self, hidden):
        return super().forward(hidden).tanh(), None


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = Attention(3, 3), FeedForward(3, 3)
        self.norm = nn.LayerNorm(3)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([Layer() for _ in range(2)])

    def forward(self, hidden, share=None):
        """With a share, each branch is ``share * out + (1 - share) * out.detach()``."""

        def branch(out):
            return out if share is None else share * out + (1 - share) * out.detach()

        for layer in self.layers:
            hidden = hidden + branch(layer.first(layer.norm(hidden)))
            hidden = hidden + branch(layer.second(hidden)[0])
        return hidden


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_branches_are_damped_as_if_that_was_written_in_the_network(share):
    torch.manual_seed(0)
    module, given = Network().double(), torch.randn(2, 3).double()
    grads, outputs = [], []
    for own in (None, share):
        point = given.clone().requires_grad_()
        if own is None:
            with damped(module, share):
                outputs.append(module(point))
        else:
            outputs.append(module(point, own))
        grads += torch.autograd.grad((outputs[-1] ** 2).sum(), point)
    assert_near(*grads)
    assert torch.equal(outputs[0], module(given))
    plain = given.clone().requires_grad_()
    (undamped,) = torch.autograd.grad((module(plain) ** 2).sum(), plain)
    assert torch.allclose(undamped, grads[0]) == (share == 1)


@pytest.fixture(params=[*CONFIGS, *FOLDERS])
def network(request, folder):
    """A small network in float64."""
    torch.manual_seed(0)
    name = request.param
    if name in CONFIGS:
        # Grouped products of experts are of float32 only.
        eager = {"experts_implementation": "eager"} if name == "mixtral" else {}
        module = AutoModelForCausalLM.from_config(CONFIGS[name], **eager)
        for weight in module.parameters():
            weight.data += 0.3 * torch.randn_like(weight)
    else:
        module = AutoModelForCausalLM.from_pretrained(folder(name))
    return module.double().eval()


def test_of_every_family_only_the_skip_path_is_left_without_branches(network):
    """Then the gradient before the first layer is the one behind the last."""
    layers = max(
        (each for each in network.modules() if isinstance(each, nn.ModuleList)),
        key=lambda each: sum(map(torch.numel, each.parameters())),
    )
    assert len(residual_branches(network)) == 2 * len(layers)
    seen = {}

    def before(_, args, options):
        seen["before"] = args[0] if args else options["hidden_states"]
        seen["before"].retain_grad()

    def behind(_, args, output):
        seen["behind"] = output[0] if isinstance(output, tuple) else output
        seen["behind"].retain_grad()

    layers[0].register_forward_pre_hook(before, with_kwargs=True)
    layers[-1].register_forward_hook(behind)
    ids = torch.tensor([[3, 7, 5, 9]])
    points = network.get_input_embeddings()(ids).detach()

    def grads(share):
        given = points.clone().requires_grad_()
        with damped(network, share):
            logits = network(inputs_embeds=given).logits
        logits[0, -1, 4].backward()
        return seen["before"].grad, seen["behind"].grad, logits.detach()

    first, last, logits = grads(0.0)
    assert last.abs().max() > 1e-6
    assert_near(first, last)
    whole, _, plain = grads(1.0)
    assert torch.equal(logits, plain)
    assert (whole - first).abs().max() > 1e-3 * whole.abs().max()


def test_a_network_without_known_branches_is_refused():
    with (
        pytest.raises(FuseError, match=r"Linear has no .*; set residual_damping to 1"),
        damped(nn.Linear(2, 2), 0.5),
    ):
        pass
