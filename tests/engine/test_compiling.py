"""Compiled layers, against the same layers as they are."""

import pytest
import torch
from torch._dynamo.utils import counters
from transformers import AttentionInterface

from fuse_lightning.engine.attention import NAME, attention
from fuse_lightning.engine.compiling import compile_layers
from fuse_lightning.engine.token_batch import pad
from tests.near import assert_near

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def fresh():
    torch.compiler.reset()
    counters.clear()
    # Else what is compiled too often is quietly left as it is; more models would reach 8.
    with torch._dynamo.config.patch(fail_on_recompile_limit_hit=True, recompile_limit=2):
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


def rows_of(model, length):
    start, end = ((5,), ()) if hasattr(model, "token_nll") else ([x] for x in ends_of(model))
    return [(*start, *range(6, 6 + length), token, *end) for token in range(20, 24)]


def ends_of(model):
    return model.encode([""]).ids[0].tolist()


def test_compiled_layers_say_the_same(load):
    """Two models beside each other, as in an objective: they share a function of transformers."""
    pairs = [(load(name), load(name)) for name in ("gpt2", "clip")]
    for _, compiled in pairs:
        compile_layers(compiled.text_network, backend="eager")
    graphs = []
    for length in (3, 5, 8, 12):
        for model, compiled in pairs:
            rows = rows_of(model, length)
            for some in (rows, rows[:1]):
                both = zip(losses(compiled, some), losses(model, some), strict=True)
                for got, expected in both:
                    assert_near(got, expected)
        graphs.append(counters["stats"]["unique_graphs"])
    # All layers share them, and no new length needs new ones.
    assert graphs[2] == graphs[-1] > 0


def test_compiled_layers_write_the_same(load):
    model, compiled = load("gpt2"), load("gpt2")
    compile_layers(compiled.text_network, backend="eager")
    prompts = [(5, *range(6, 9 + number)) for number in range(6)]
    expected = model.generate(prompts, 6, stop_ids=())
    found = compiled.generate(prompts, 6, stop_ids=())
    assert counters["stats"]["unique_graphs"] > 0
    for got, told in zip(found.log_probs, expected.log_probs, strict=True):
        assert_near(torch.tensor(got), torch.tensor(told))


def test_the_argument_compiles(folder, load, scratch):
    """By torch's own compiler, too."""
    model = load(folder("gpt2"), type(load("gpt2")))
    compiled = type(model)(model.model_id, compile=True)
    assert compiled.key != model.key
    compiled.load()
    rows = [(5, 6, 7, 8, token) for token in range(10, 20)]
    assert_near(compiled.next_log_probs(rows), model.next_log_probs(rows))
    assert counters["stats"]["unique_graphs"] > 0
    # Where another process, told of other kernels, does not find it.
    assert any(scratch.glob("compiled/**/*.cpp"))
