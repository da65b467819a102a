"""Where a model lies, and in how many bits: options, refusals, and the same results anywhere."""

import pytest
import torch
from transformers import BitsAndBytesConfig, GPT2Config, GPT2LMHeadModel

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CLIP, CaptionModel, CausalLM, Classifier, SentenceEncoder
from tests.factories import tiny
from tests.factories.captioners import blip
from tests.factories.virtual import accelerators
from tests.factories.zoo_tokenizers import tokenizer
from tests.near import assert_near

GPT2 = {
    "transformer.wte": "cpu",
    "transformer.wpe": "cpu",
    "transformer.h.0": "disk",
    "transformer.h.1": "cpu",
    "transformer.ln_f": "disk",
    "lm_head": "cpu",
}
TEXTS = ["a red house by the sea", "a red dog", "a red house"]


@pytest.fixture
def accelerate():
    pytest.importorskip("accelerate", reason="a device map needs accelerate")


@pytest.fixture
def bitsandbytes():
    pytest.importorskip("bitsandbytes", reason="quantization needs bitsandbytes")


@pytest.fixture
def passed(monkeypatch):
    """What a model hands to ``from_pretrained``, which then reads nothing."""

    def get(model, device="cpu"):
        given = {}

        def read(_, **options):
            given.update(options)
            raise OSError("enough")

        monkeypatch.setattr(type(model), "auto_class", type("Auto", (), {"from_pretrained": read}))
        with pytest.raises(FuseError, match="enough"):
            model.load(device)
        return given

    return get


@pytest.fixture
def packages(monkeypatch):
    def get(**there):
        for name, value in there.items():
            monkeypatch.setattr(
                f"fuse_lightning.models.placement.is_{name}_available", lambda value=value: value
            )

    return get


def measured(model):
    """What a model makes of some texts, and the gradient at their embeddings."""
    encoded = model.encode(TEXTS)
    embeds = model.embed(encoded.ids.to(model.device)).detach().requires_grad_()
    fixed = torch.full((len(TEXTS),), 2)
    model.worth = 0
    if isinstance(model, CausalLM):
        counted = encoded.mask.clone()
        counted[:, 0] = False
        results = [model.token_nll(encoded.ids, counted, given, fixed) for given in (None, embeds)]
    elif isinstance(model, Classifier):
        encoded = encoded.to(model.device)
        results = [model.logits(encoded, given) for given in (None, embeds)]
    else:
        results = [model.text_features(encoded, given, fixed) for given in (None, embeds)]
    weights = torch.randn(results[1].shape, generator=torch.Generator().manual_seed(0))
    (grad,) = torch.autograd.grad((results[1] * weights.to(model.device)).sum(), embeds)
    # What comes before it needs no gradient.
    return results[0].cpu(), grad[:, 2:].cpu()


@pytest.mark.parametrize(
    ("name", "kind", "device_map"),
    [
        ("gpt2", CausalLM, "auto"),
        ("gpt2", CausalLM, GPT2),
        ("gpt2", CausalLM, {"": "disk"}),
        ("gpt2", CausalLM, {**GPT2, "transformer.wte": "disk", "lm_head": "disk"}),
        ("llama", CausalLM, {"model": "cpu", "lm_head": "disk"}),
        ("clip", CLIP, {"": "disk"}),
        (
            "clip",
            CLIP,
            {
                "logit_scale": "cpu",
                "text_model": "disk",
                "vision_model": "cpu",
                "text_projection": "disk",
                "visual_projection": "disk",
            },
        ),
        ("bert_classifier", Classifier, {"bert": "disk", "classifier": "cpu"}),
        ("sentence_encoder", SentenceEncoder, {"": "disk"}),
    ],
)
def test_results_do_not_depend_on_where_the_weights_are(name, kind, device_map, load, accelerate):
    expected, expected_grad = measured(load(name))
    model = load(load(name).model_id, kind, device_map=device_map)
    assert model.device == torch.device("cpu")
    assert model.shares == load(name).shares
    assert device_map == "auto" or any(weight.is_meta for weight in model.module.parameters())
    got, grad = measured(model)
    assert_near(got, expected)
    assert_near(grad, expected_grad)
    assert not any(weight.requires_grad for weight in model.module.parameters())


@pytest.mark.parametrize("options", [{"device": "cuda:1"}, {"device_map": {"": 1}}])
def test_pictures_are_written_about_on_another_device(options, tmp_path, accelerate):
    import PIL.Image

    picture = PIL.Image.linear_gradient("L").convert("RGB")
    captions = []
    plain = CaptionModel(str(blip(tmp_path / "blip")))
    plain.load()
    captions.append(plain.captions([picture], 1, "a red", max_new_tokens=5))
    with accelerators():
        other = CaptionModel(plain.model_id, **options)
        other.load()
        assert {str(weight.device) for weight in other.module.parameters()} == {"cuda:1"}
        captions.append(other.captions([picture], 1, "a red", max_new_tokens=5))
    assert captions[0] == captions[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "gpu"}, "device 'gpu' of 'zoo/gpt2' is unknown; give cpu, cuda or cuda:N"),
        ({"device": "meta"}, "device 'meta' of 'zoo/gpt2' is unknown"),
        ({"device_map": {"": "gpu:1"}}, "device 'gpu:1' of 'zoo/gpt2' is unknown"),
        ({"device_map": {"": -1}}, "device -1 of 'zoo/gpt2' is unknown"),
        ({"device_map": "all"}, "device_map 'all' of 'zoo/gpt2' is unknown; give auto, balanced"),
        ({"device_map": {}}, "device_map {} of 'zoo/gpt2' is unknown"),
        ({"quantization": "3bit"}, "quantization '3bit' of 'zoo/gpt2' is unknown; give 4bit, 8bit"),
        (
            {"device": "cpu", "device_map": "auto"},
            "both device and device_map of 'zoo/gpt2' are given; give one of them",
        ),
    ],
)
def test_what_is_no_place_is_refused(options, message):
    with pytest.raises(FuseError) as raised:
        CausalLM("zoo/gpt2", **options)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("count", "options"),
    [
        (0, {"device": "cuda"}),
        (0, {"device": "mps"}),
        (2, {"device": "cuda:7"}),
        (2, {"device_map": {"transformer": 0, "lm_head": 2}}),
        (2, {"device_map": {"transformer": 0, "lm_head": "xpu:0"}}),
    ],
)
def test_a_device_that_is_not_there_is_refused_before_weights_are_read(count, options, passed):
    with accelerators(count), pytest.raises(FuseError) as raised:
        CausalLM("zoo/gpt2", **options).load()
    there = ["cpu", "cuda:0", "cuda:1"][: count + 1]
    message = str(raised.value)
    assert message.endswith(f"is not there; this machine has: {', '.join(there)}")
    assert "\n" not in message


@pytest.mark.parametrize(
    ("options", "missing", "extra"),
    [
        ({"device_map": "auto"}, "accelerate", "placement"),
        ({"quantization": "4bit"}, "accelerate", "quantization"),
        ({"quantization": "8bit"}, "bitsandbytes", "quantization"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(options, missing, extra, packages):
    packages(**{"accelerate": True, "bitsandbytes": True, missing: False})
    with pytest.raises(FuseError) as raised:
        CausalLM("zoo/gpt2", **options).load()
    assert missing in str(raised.value)
    assert f"pip install 'fuse-lightning[{extra}]'" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_map_that_forgets_a_part_is_refused(load, accelerate):
    with pytest.raises(FuseError, match=r"does not give any device.*lm_head.weight; change them"):
        load(load("gpt2").model_id, CausalLM, device_map={"transformer": "disk"})


def test_a_plain_model_is_read_as_ever(passed):
    assert not {"device_map", "quantization_config"} & passed(CausalLM("zoo/gpt2")).keys()


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("device_map", [None, "auto"])
def test_quantized_layers_are_made_where_they_shall_lie(bits, device_map, passed, packages):
    packages(accelerate=True, bitsandbytes=True)
    model = CausalLM("zoo/gpt2", quantization=f"{bits}bit", device_map=device_map, dtype="bfloat16")
    with accelerators():
        given = passed(model, "cuda:1")
    assert given["device_map"] == (device_map or {"": torch.device("cuda:1")})
    config = given["quantization_config"]
    assert isinstance(config, BitsAndBytesConfig)
    assert (config.load_in_4bit, config.load_in_8bit) == (bits == 4, bits == 8)
    if bits == 4:
        assert config.bnb_4bit_quant_type == "nf4"
        assert config.bnb_4bit_compute_dtype == torch.bfloat16


def wide_gpt2(folder):
    """Layers as wide as 4-bit kernels of a CPU need them."""
    torch.manual_seed(0)
    words = tokenizer("byte")
    config = GPT2Config(
        vocab_size=len(words),
        n_positions=48,
        n_embd=64,
        n_layer=2,
        n_head=2,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        initializer_range=0.1,
    )
    return tiny.save(folder, GPT2LMHeadModel(config), "byte")


@pytest.mark.parametrize(("quantization", "least"), [("8bit", 0.99), ("4bit", 0.9)])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_quantized_model_is_near_the_whole_one(
    quantization, least, dtype, tmp_path, load, accelerate, bitsandbytes
):
    path = wide_gpt2(tmp_path / "gpt2")
    whole = load(path, CausalLM)
    model = load(path, CausalLM, quantization=quantization, dtype=dtype)
    kinds = {type(layer).__module__.split(".")[0] for layer in model.module.modules()}
    assert "bitsandbytes" in kinds
    assert_near(model.embedding_table, whole.embedding_table, share=1e-2)
    (got, grad), (expected, expected_grad) = measured(model), measured(whole)
    assert not torch.equal(got, expected)
    assert_near(got, expected, share=0.1)
    cosine = torch.cosine_similarity(grad.float().flatten(), expected_grad.flatten(), dim=0)
    assert cosine > least


def test_models_share_weights_only_in_the_same_place_and_bits():
    options = [
        {},
        {"device": "cpu"},
        {"device_map": "auto"},
        {"device_map": {"": 0}},
        {"quantization": "4bit"},
        {"quantization": "8bit"},
    ]
    keys = [CausalLM("zoo/gpt2", **each).key for each in options * 2]
    assert len(set(keys)) == len(options)
