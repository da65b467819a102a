"""Contrast with early layers against the published decoding, as transformers 4.55.4 had it."""

import json
from itertools import groupby
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, GPT2Config

from fuse_lightning.decoding.early_layers import early_layers
from fuse_lightning.decoding.loop import ContrastiveLoop
from fuse_lightning.decoding.presets import layers
from fuse_lightning.decoding.processor import ContrastiveLogitsProcessor
from fuse_lightning.decoding.readers import StreamNetwork
from fuse_lightning.errors import FuseError
from fuse_lightning.models.loading import ZOO
from tests.decoding.generating import generate, padded

PUBLISHED = json.loads((Path(__file__).parent / "dola.json").read_text())


@pytest.fixture(scope="module")
def zoo():
    """A network of the zoo by its name, in float32; nothing ends its texts."""
    made = {}

    def get(name):
        if name not in made:
            made[name] = AutoModelForCausalLM.from_pretrained(ZOO / name, dtype="float32")
            made[name].generation_config.eos_token_id = None
            made[name].generation_config.pad_token_id = 0
        return made[name]

    return get


def early(network, told):
    return early_layers(network.config, told) if isinstance(told, str) else tuple(told)


@pytest.mark.parametrize("case", PUBLISHED["texts"], ids=lambda case: case["model"])
def test_texts_are_the_published_ones(zoo, case):
    """One fixed early layer, or the furthest of several, token by token."""
    network = zoo(case["model"])
    stream = StreamNetwork(network, layers=early(network, case["layers"]))
    count = len(case["written"])
    loop = ContrastiveLoop([stream], layers())
    found = generate(network, [case["prompt"]], custom_generate=loop, max_new_tokens=count)
    assert found == [case["written"]]
    processor = ContrastiveLogitsProcessor([stream], layers())
    found = generate(network, [case["prompt"]], logits_processor=[processor], max_new_tokens=count)
    assert found == [case["written"]]


def of(case):
    return case["model"], str(case["layers"])


BATCHES = [list(some) for _, some in groupby(sorted(PUBLISHED["texts"], key=of), key=of)]


@pytest.mark.parametrize("cases", BATCHES, ids=lambda cases: "-".join(of(cases[0])))
def test_texts_of_a_batch_are_those_of_single_rows(zoo, cases):
    """Each row has its own layer, whatever stands beside it."""
    network = zoo(cases[0]["model"])
    prompts = [case["prompt"] for case in cases]
    stream = StreamNetwork(network, layers=early(network, cases[0]["layers"]))
    loop = ContrastiveLoop([stream], layers())
    found = generate(network, prompts, custom_generate=loop, max_new_tokens=12)
    assert found == [case["written"] for case in cases]
    assert padded(prompts)["attention_mask"].shape[0] > 1


@pytest.mark.parametrize(
    "case", PUBLISHED["candidates"], ids=lambda case: f"{case['layers']}-{case['which']}"
)
def test_candidates_are_the_published_ones(case):
    config = GPT2Config(n_layer=case["layers"], tie_word_embeddings=case["tied"])
    if case["candidates"]:
        assert list(early_layers(config, case["which"])) == case["candidates"]
    else:
        # Where the published code fails.
        with pytest.raises(FuseError, match=r"a network of 3 layers .* no early layer"):
            early_layers(config, case["which"])


def test_an_unknown_part():
    with pytest.raises(FuseError, match=r"layers is 'middle'; give numbers .*low, high"):
        early_layers(GPT2Config(), "middle")
