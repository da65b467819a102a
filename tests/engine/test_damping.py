"""Damped gradients against networks whose branches are written out, and of every family."""

from contextlib import ExitStack

import pytest
import torch
from torch import nn
from transformers import (
    AlbertConfig,
    AutoModel,
    AutoModelForCausalLM,
    BertConfig,
    BloomConfig,
    CLIPTextConfig,
    DistilBertConfig,
    Gemma2Config,
    GPTNeoXConfig,
    MixtralConfig,
    MPNetConfig,
    MptConfig,
)

from fuse_lightning.engine.damping import damped
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
ENCODERS = {
    "bert": (BertConfig(**BLOCKS), ("attention.output.dense", "output.dense")),
    "mpnet": (MPNetConfig(**BLOCKS), ("attn.o", "output.dense")),
    "albert": (AlbertConfig(**BLOCKS, embedding_size=8), ("attention.dense", "ffn_output")),
    "distilbert": (
        DistilBertConfig(vocab_size=40, dim=16, n_heads=2, n_layers=2, hidden_dim=24),
        ("out_lin", "lin2"),
    ),
    "clip": (CLIPTextConfig(**BLOCKS, eos_token_id=39), ("out_proj", "fc2")),
}
"""Encoders, and the names of the last linear map of each branch."""
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
        with damped(share):
            logits = network(inputs_embeds=given).logits
        logits[0, -1, 4].backward()
        return seen["before"].grad, seen["behind"].grad, logits.detach()

    first, last, logits = grads(0.0)
    assert last.abs().max() > 1e-6
    assert_near(first, last)
    whole, _, plain = grads(1.0)
    assert torch.equal(logits, plain)
    assert (whole - first).abs().max() > 1e-3 * whole.abs().max()


class PostNorm(nn.Module):
    """Layers that normalise behind the sum, as BERT's do, and an activation that adds."""

    def __init__(self):
        super().__init__()
        self.mixing, self.up, self.down = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)
        self.norms = nn.ModuleList([nn.LayerNorm(3), nn.LayerNorm(3)])

    def forward(self, hidden, share=None):
        def branch(out):
            return out if share is None else share * out + (1 - share) * out.detach()

        hidden = self.norms[0](branch(self.mixing(hidden).tanh()) + hidden)
        inner = self.up(hidden)
        # No branch: nothing is multiplied by weights on the way.
        inner = torch.tanh(inner + 0.1 * inner**3)
        return self.norms[1](branch(self.down(inner)) + hidden)


class Parallel(nn.Module):
    """Two branches that are added to each other, and then to what goes past them."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, hidden, share=None):
        out = self.first(hidden).tanh() + self.second(hidden).sigmoid()
        if share is not None:
            out = share * out + (1 - share) * out.detach()
        return out + hidden


class InPlace(nn.Module):
    """A sum in the place of its first term, and a branch that is read twice."""

    def __init__(self):
        super().__init__()
        self.branch, self.reader = nn.Linear(3, 3), nn.Linear(3, 3)
        # In place of what a product reads, a sum needs products without gradients of weights.
        self.requires_grad_(False)

    def forward(self, hidden, share=None):
        hidden = 2 * hidden
        out = self.branch(hidden)
        other = self.reader(out)
        hidden += out if share is None else share * out + (1 - share) * out.detach()
        return hidden * other


@pytest.mark.parametrize("share", [0.0, 0.3])
@pytest.mark.parametrize("kind", [Network, PostNorm, Parallel, InPlace])
def test_branches_are_found_wherever_the_sum_stands(kind, share):
    torch.manual_seed(0)
    module, given = kind().double(), torch.randn(4, 3).double()
    grads = []
    for own in (None, share):
        point = given.clone().requires_grad_()
        with damped(1.0 if own else share):
            output = module(point, own)
        assert own or torch.equal(output, module(given))
        grads += torch.autograd.grad((output**3).sum(), point)
    assert_near(*grads)
    plain = given.clone().requires_grad_()
    (whole,) = torch.autograd.grad((module(plain) ** 3).sum(), plain)
    assert not torch.allclose(whole, grads[0])


@pytest.mark.parametrize("name", [*ENCODERS])
def test_encoders_are_damped_as_if_the_last_map_of_each_branch_were(name):
    """Against hooks at those linear maps, by their names."""
    config, ends = ENCODERS[name]
    torch.manual_seed(0)
    module = AutoModel.from_config(config).double().eval().requires_grad_(False)
    for weight in module.parameters():
        weight.data += 0.3 * torch.randn_like(weight)
    maps = [part for path, part in module.named_modules() if path.endswith(ends)]
    ids = torch.tensor([[3, 7, 5, 39]])
    layer = module.get_input_embeddings()
    points = layer(ids).detach()

    def told(share, own):
        given = points.clone().requires_grad_()
        with ExitStack() as stack:
            stack.callback(layer.register_forward_hook(lambda *_: given).remove)
            for part in maps if own else ():
                stack.callback(part.register_forward_hook(hand_damped(share)).remove)
            stack.enter_context(damped(1.0 if own else share))
            output = module(input_ids=ids).last_hidden_state
        return torch.autograd.grad((output[0, -1] ** 3).sum(), given)[0], output

    grad, output = told(0.4, own=False)
    assert_near(grad, told(0.4, own=True)[0])
    whole, plain = told(1.0, own=False)
    assert torch.equal(output, plain)
    assert (whole - grad).abs().max() > 1e-2 * whole.abs().max()


def hand_damped(share):
    return lambda _, args, out: share * out + (1 - share) * out.detach()


def test_of_two_contexts_the_inner_one_counts():
    torch.manual_seed(0)
    module, given = Network(), torch.randn(2, 3)

    def grad(*shares):
        point = given.clone().requires_grad_()
        with ExitStack() as stack:
            for share in shares:
                stack.enter_context(damped(share))
            output = module(point)
        return torch.autograd.grad(output.sum(), point)[0]

    assert torch.equal(grad(0.2, 0.6), grad(0.6))
    assert not torch.allclose(grad(0.6), grad(0.2))


def test_a_network_without_branches_is_refused():
    point = torch.ones(2, requires_grad=True)
    with (
        pytest.raises(FuseError, match=r"no residual branches .*; set residual_damping to 1"),
        damped(0.5),
    ):
        nn.Linear(2, 2)(point)


def test_what_needs_no_gradient_is_not_refused():
    with damped(0.5):
        assert nn.Linear(2, 2).requires_grad_(False)(torch.ones(2)).shape == (2,)
