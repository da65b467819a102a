"""Streams from options: what is loaded once, what is shared, what is mixed."""

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM

from fuse_lightning.decoding import (
    Contrast,
    ContrastiveDecoder,
    DecodingOptions,
    StreamOptions,
    open_streams,
)
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from tests.near import assert_near

PROMPTS = ["a red house", "hello"]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory):
    """A folder with an adapter of the zoo's GPT-2."""
    base = CausalLM("zoo/gpt2")
    base.load()
    torch.manual_seed(0)
    config = peft.LoraConfig(r=2, target_modules=["c_attn"], init_lora_weights=False)
    config.base_model_name_or_path = "zoo/gpt2"
    tuned = peft.get_peft_model(base.module, config)
    tuned.peft_config["default"].base_model_name_or_path = "zoo/gpt2"
    folder = tmp_path_factory.mktemp("adapter")
    tuned.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """A folder with the zoo's GPT-2 whose weights were moved a little."""
    base = CausalLM("zoo/gpt2")
    base.load()
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in base.module.parameters():
            weight += 0.05 * torch.randn_like(weight)
    folder = tmp_path_factory.mktemp("moved")
    base.module.save_pretrained(folder)
    base.tokenizer.save_pretrained(folder)
    return str(folder)


def first_log_probs(streams):
    rows = [stream.rows(PROMPTS) for stream in streams]
    return ContrastiveDecoder(streams).ensemble.readers(rows).log_probs()


def test_equal_models_are_loaded_once():
    first, second, third = open_streams(
        [
            StreamOptions("zoo/gpt2"),
            StreamOptions("zoo/gpt2", prefix="a lovely "),
            StreamOptions("zoo/gpt2", dtype="bfloat16"),
        ]
    )
    assert first.model is second.model
    assert first.model is not third.model


@pytest.mark.parametrize("tuned_first", [False, True])
def test_an_adapter_and_its_base_share_weights(tuned_first, adapter):
    options = [StreamOptions("zoo/gpt2"), StreamOptions(adapter)]
    options = options[::-1] if tuned_first else options
    streams = open_streams(options)
    assert streams[0].model is streams[1].model
    assert [stream.adapted for stream in streams] == [tuned_first, not tuned_first]
    apart = [*open_streams(options[:1]), *open_streams(options[1:])]
    assert_near(first_log_probs(streams), first_log_probs(apart), 1.0, 1e-5)
    contrast, greedy = Contrast((2, -1), alpha=0.1), DecodingOptions(8, 0)
    first, second = (
        [*ContrastiveDecoder(each, contrast).write(PROMPTS, greedy)] for each in (streams, apart)
    )
    assert [text.text for text in first] == [text.text for text in second]
    read, again = (
        [*ContrastiveDecoder(each).read([("a red", " ball")])] for each in (streams, apart)
    )
    for name in ("A", "B"):
        assert read[0].tokens.log_probs[name] == pytest.approx(again[0].tokens.log_probs[name])


def test_the_base_of_an_adapter_is_bit_for_bit_itself(adapter):
    streams = open_streams([StreamOptions("zoo/gpt2"), StreamOptions(adapter)])
    alone = open_streams([StreamOptions("zoo/gpt2")])
    rows = [streams[0].rows(PROMPTS)]
    pair = ContrastiveDecoder(streams).ensemble.readers(rows * 2).logits()
    plain = ContrastiveDecoder(alone * 2).ensemble.readers(rows * 2).logits()
    assert torch.equal(pair[0], plain[0])
    assert not torch.equal(pair[1], plain[0])


def test_a_base_in_another_precision_is_loaded_apart(adapter):
    first, second = open_streams(
        [StreamOptions("zoo/gpt2", dtype="bfloat16"), StreamOptions(adapter)]
    )
    assert first.model is not second.model


@pytest.mark.parametrize("amount", [0.0, 0.25, 1.0, 1.5])
def test_weights_between_two_models(amount, moved):
    (stream,) = open_streams([StreamOptions("zoo/gpt2", towards=moved, amount=amount)])
    base, other = CausalLM("zoo/gpt2"), AutoModelForCausalLM.from_pretrained(moved)
    base.load()
    ours = dict(stream.model.module.named_parameters())
    for name, theirs in other.named_parameters():
        mine = base.module.get_parameter(name).double()
        expected = mine + amount * (theirs.double() - mine)
        assert_near(ours[name].double(), expected, 1.0, 1e-6)


@pytest.mark.parametrize("amount", [0.0, 0.5, 1.0, 2.0])
def test_a_scaled_adapter_is_weights_between(amount, adapter):
    (stream,) = open_streams([StreamOptions("zoo/gpt2", towards=adapter, amount=amount)])
    plain, tuned = CausalLM("zoo/gpt2"), CausalLM("zoo/gpt2")
    for each in (plain, tuned):
        each.load()
    merged = peft.PeftModel.from_pretrained(tuned.module, adapter).merge_and_unload()
    name = "transformer.h.0.attn.c_attn.weight"
    start, end = plain.module.get_parameter(name), merged.get_parameter(name)
    assert not torch.equal(start, end)
    plain.module.requires_grad_(False)
    for path, weight in plain.module.named_parameters():
        weight += amount * (merged.get_parameter(path) - weight)
    ids = torch.tensor(stream.rows(["a red house"]))
    with torch.no_grad():
        assert_near(stream.model.module(ids).logits, plain.module(ids).logits, 1.0, 1e-4)


def test_published_layers_by_name():
    (stream,) = open_streams([StreamOptions("zoo/gpt2", layers="high")])
    assert stream.layers == (1,)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "zoo/none"}, "stream B: unknown zoo model 'zoo/none'"),
        ({"model": "zoo/gpt2", "layers": "middle"}, "stream B: layers is 'middle'"),
        ({"model": "zoo/gpt2", "towards": "zoo/reasoner"}, "stream B: the weights of .* differ"),
        (
            {"model": "zoo/gpt2", "towards": "zoo/gpt2", "quantization": "4bit"},
            "quantization is '4bit'",
        ),
    ],
)
def test_bad_streams_are_named(options, message):
    with pytest.raises(FuseError, match=message) as error:
        open_streams([StreamOptions("zoo/gpt2"), StreamOptions(**options)])
    assert "\n" not in str(error.value)
