"""Compiled layers, against the same layers as they are."""

import pytest
import torch
from torch._dynamo.utils import counters
from transformers import AttentionInterface

from fuse_lightning.models.base import pad
from fuse_lightning.models.compiling import compile_layers
from fuse_lightning.models.sharing import NAME, attention

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


@pytest.fixture(autouse=True)
def fresh():
    torch.compiler.reset()
    counters.clear()
    # Else what is compiled too often is quietly left as it is.
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True):
        yield
    AttentionInterface.register(NAME, attention)


def losses(model, rows):
    """Losses of rows that share beginnings, and the gradient of their ends."""
    model.worth = 0
    encoded = pad(rows, None, model.pad_id)
    fixed = torch.full((len(rows),), 2)
    counted = encoded.mask & (torch.arange(encoded.ids.shape[1]) > 1)

    def of(embeds=None, fixed=None):
        if hasattr(model, "token_nll"):
            return model.token_nll(encoded.ids, counted, embeds, fixed).sum(1)
        return model.text_features(encoded, embeds, fixed).cumsum(1).sin().sum(1)

    with torch.no_grad():
        plain = of()
    embeds = model.embed(encoded.ids).detach().requires_grad_()
    (grad,) = torch.autograd.grad(of(embeds, fixed).sum(), embeds)
    return plain, grad[:, 2:]


@pytest.mark.parametrize("name", ["gpt2", "clip"])
def test_compiled_layers_say_the_same(name, load):
    model, compiled = load(name), load(name)
    compile_layers(compiled.text_network, backend="eager")
    first, last = ((5,), ()) if "clip" not in name else ([x] for x in model.encode([""]).ids[0])
    graphs = []
    for length in (3, 5, 8, 9, 12):
        rows = [
            (*map(int, first), *range(6, 6 + length), token, *map(int, last))
            for token in range(20, 24)
        ]
        for got, expected in zip(losses(compiled, rows), losses(model, rows), strict=True):
            torch.testing.assert_close(got, expected, **TOLERANCE)
        graphs.append(counters["stats"]["unique_graphs"])
    # All layers share them, and no new length needs new ones.
    assert graphs[2] == graphs[-1] > 0
    assert compiled.shares == model.shares


def test_the_argument_compiles(folder, load):
    """By torch's own compiler, too."""
    model = load(folder("gpt2"), type(load("gpt2")))
    compiled = type(model)(model.model_id, compile=True)
    assert compiled.key != model.key
    compiled.load()
    rows = [(5, 6, 7, 8, token) for token in range(10, 20)]
    torch.testing.assert_close(
        compiled.next_log_probs(rows), model.next_log_probs(rows), **TOLERANCE
    )
    assert counters["stats"]["unique_graphs"] > 0
