"""Meters of networks, against hooks on the networks' first blocks that count by themselves."""

import random
from contextlib import ExitStack, contextmanager
from functools import partial

import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode
from transformers import GptOssConfig, GptOssForCausalLM, MixtralConfig, MixtralForCausalLM

from fuse_lightning.engine.meter import Meter, stacks, total_work, watch
from fuse_lightning.engine.operations import multiplications
from fuse_lightning.models import CLIP, CaptionModel, CausalLM, Diffusion
from tests.engine.positions import counted
from tests.engine.test_sharing import counted_of, random_rows
from tests.engine.writing import prompts_of
from tests.factories.builders import (
    ALL_CAUSAL_LMS,
    ALL_CLASSIFIERS,
    ALL_CLIPS,
    SENTENCE_ENCODERS,
)
from tests.factories.captioners import CAPTIONERS
from tests.factories.diffusion import PICTURE, stable_diffusion
from tests.factories.seq2seq_lms import SEQ2SEQ_LMS

TEXTS = ["a red house", "a red house by the sea", "a dog", "a red house"]
PICTURES = [Image.new("RGB", (40, 56), color) for color in ("red", "blue")]


@contextmanager
def metered(model):
    """What a model's meters add: positions forward and backward, and operations."""
    found = {}

    def now():
        meters = {id(meter): meter for meter in model.meters}.values()
        return {
            name: sum(getattr(meter, name) for meter in meters)
            for name in ("forward", "backward", "flops")
        }

    before = now()
    yield found
    found |= {name: value - before[name] for name, value in now().items()}


@contextmanager
def operations():
    """What torch itself counts; only attention by plain products is among it on every machine."""
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        yield counter


close = partial(pytest.approx, rel=0.05)


@pytest.mark.parametrize("name", ALL_CAUSAL_LMS)
def test_likelihoods_of_rows_that_share_beginnings(name, family):
    model = family(name)
    rows = random_rows(model, 3)
    counts = counted_of(rows, 4)
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[model.pad_id] * (width - len(row))] for row in rows])
    with (
        counted(model.module) as expected,
        metered(model) as found,
        operations() as counter,
        torch.no_grad(),
    ):
        model.token_nll(ids, counts)
    assert found["forward"] == expected["forward"] > 0
    assert found["backward"] == 0
    assert found["flops"] == close(counter.get_total_flops())
    if model.shares:
        assert found["forward"] < sum(map(len, rows))


@pytest.mark.parametrize("name", ALL_CAUSAL_LMS)
@pytest.mark.parametrize("fixed", [0, 3])
def test_gradients_go_back_through_what_has_one(name, fixed, family):
    model = family(name)
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(3, model.vocab_size, (4, 8), generator=generator)
    ids[:, :fixed] = ids[0, :fixed]
    counts = torch.zeros_like(ids, dtype=torch.bool)
    counts[:, 6:] = True
    embeds = model.embed(ids).detach().requires_grad_()
    with counted(model.module) as expected, metered(model) as found, operations() as counter:
        total = model.token_nll(ids, counts, embeds, torch.full((4,), fixed)).sum()
        torch.autograd.grad(total, embeds)
    assert (found["forward"], found["backward"]) == (expected["forward"], expected["backward"])
    assert 0 < found["backward"] <= found["forward"]
    if model.shares and fixed:
        # What has no gradient is read once for all rows.
        assert found["forward"] - found["backward"] == fixed
    assert found["flops"] == close(counter.get_total_flops())


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3", "falcon", "mamba"])
@pytest.mark.parametrize("cache", [False, True])
def test_generation_reads_a_token_at_a_time(name, cache, family):
    model = family(name)
    prompts = prompts_of(model)
    with counted(model.module) as expected, metered(model) as found, torch.no_grad():
        written = model.generate(prompts, 5, temperature=1, stop_ids=[], samples=2, cache=cache)
        rows = [(*prompts[0], *written.ids[0][:3], 3)]
        mask = torch.zeros(1, len(rows[0]), dtype=torch.bool)
        mask[:, -1] = True
        model.token_nll(torch.tensor(rows), mask, cache=written.cache if cache else None)
    assert found["forward"] == expected["forward"] > 0
    with metered(model) as found, torch.no_grad(), operations() as counter:
        model.generate(prompts, 5, temperature=1, stop_ids=[], samples=2, cache=cache)
    assert found["flops"] == close(counter.get_total_flops())


@pytest.mark.parametrize("name", [*ALL_CLIPS, *SENTENCE_ENCODERS])
def test_vectors_of_texts_and_pictures(name, load):
    model = load(name)
    encoded = model.encode(TEXTS)
    embeds = model.embed(encoded.ids).detach().requires_grad_()
    with counted(model.module) as expected, metered(model) as found, operations() as counter:
        with torch.no_grad():
            model.text_features(encoded)
        torch.autograd.grad(model.text_features(encoded, embeds).sum(), embeds)
        if isinstance(model, CLIP):
            model.image_features(PICTURES)
    assert (found["forward"], found["backward"]) == (expected["forward"], expected["backward"])
    assert found["backward"] > 0
    if not name.startswith("siglip"):
        # A picture's vector is found there by an attention that has a query of its own.
        assert found["flops"] == close(counter.get_total_flops())


@pytest.mark.parametrize("name", ALL_CLASSIFIERS)
def test_classes_of_texts(name, load):
    model = load(name)
    encoded = model.encode(TEXTS)
    embeds = model.embed(encoded.ids).detach().requires_grad_()
    with counted(model.module) as expected, metered(model) as found, operations() as counter:
        torch.autograd.grad(model.logits(encoded, embeds).sum(), embeds)
    assert (found["forward"], found["backward"]) == (expected["forward"], expected["backward"])
    assert found["backward"] == encoded.ids.numel()
    if not name.startswith("deberta"):
        # Its attention has terms of its own for positions.
        assert found["flops"] == close(counter.get_total_flops())


@pytest.mark.parametrize("name", SEQ2SEQ_LMS)
def test_an_encoder_and_its_decoder_count_apart(name, load):
    model = load(name)
    encoded = model.encode([TEXTS[0], TEXTS[0], TEXTS[2]])
    with (
        counted(model.module) as expected,
        metered(model) as found,
        operations() as counter,
        torch.no_grad(),
    ):
        model.answer_nll(encoded, ["great", "the film", "bad"])
    assert found["forward"] == expected["forward"]
    # The output head is the third.
    assert [meter.forward > 0 for meter in model.meters] == [True, True, False]
    assert found["flops"] == close(counter.get_total_flops())
    embeds = model.module.get_input_embeddings()(encoded.ids).detach().requires_grad_()
    with metered(model) as found, operations() as counter:
        logits = model.module(inputs_embeds=embeds, decoder_input_ids=encoded.ids[:, :2]).logits
        logits.sum().backward()
    assert found["backward"] == encoded.ids.numel() + 3 * 2
    assert found["flops"] == close(counter.get_total_flops())


@pytest.mark.parametrize("name", CAPTIONERS)
def test_captions_of_pictures(name, tmp_path):
    model = CaptionModel(str(CAPTIONERS[name](tmp_path / name)))
    model.load()
    with counted(model.module) as expected, metered(model) as found:
        model.captions(PICTURES, 3, "a red", 4)
    assert found["forward"] == expected["forward"] > 0


def test_convolutions_count_at_their_own_width(tmp_path):
    model = Diffusion(str(stable_diffusion(tmp_path / "pipeline")))
    model.load()
    encoded = model.encode(TEXTS[:2])
    side = PICTURE // 2
    times = torch.tensor([3, 5])
    with metered(model) as found, torch.no_grad():
        latents = model.latents(PICTURES)
        model.noise_prediction(encoded, None, latents, times)
        states = model.text_states(encoded)
    assert latents.shape[-1] == side
    # The text tower reads padding too; the other two networks read pictures of this side.
    assert found["forward"] == 2 * 2 * model.max_tokens + 2 * 2 * side * side
    with metered(model) as found, torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.vae.encoder(torch.zeros(2, 3, model.image_size, model.image_size))
        model.unet(latents, times, encoder_hidden_states=states)
    # Attention itself is another operation.
    products = ("convolution", "addmm", "aten.mm", "aten.bmm")
    assert found["flops"] == sum(
        count
        for operation, count in counter.get_flop_counts()["Global"].items()
        if any(product in str(operation) for product in products)
    )
    with ExitStack() as undo, metered(model) as found:
        (meter,) = watch([model.unet], undo)
        counts = [meter.flops]
        embeds = model.embed(encoded.ids).detach().requires_grad_()
        noise = model.noise_prediction(encoded, embeds, latents, times)
        counts.append(meter.flops)
        torch.autograd.grad(noise.sum(), embeds)
        counts.append(meter.flops)
    assert found["backward"] == found["forward"] == 2 * model.max_tokens + 2 * side * side
    assert counts[2] - counts[1] == counts[1] - counts[0] > 0


@pytest.mark.parametrize(
    "network",
    [
        lambda shape: MixtralForCausalLM(MixtralConfig(**shape, num_local_experts=4)),
        lambda shape: GptOssForCausalLM(GptOssConfig(**shape, num_local_experts=4, head_dim=4)),
    ],
)
def test_of_experts_the_active_ones_count(network):
    shape = {
        "vocab_size": 16,
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "num_experts_per_tok": 1,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    model = network(shape)
    experts = sum(part.numel() for name, part in model.named_parameters() if ".experts." in name)
    told = multiplications(model.model).position
    model.model.config.num_experts_per_tok = 4
    assert multiplications(model.model).position - told == experts * 3 / 4


def test_two_models_of_one_network_have_one_meter(network, folder):
    lent = network("gpt2")
    (stack,) = stacks(lent)
    hooks = len(stack._forward_hooks)
    models = [CausalLM(lent, start=start, tokenizer=str(folder("gpt2"))) for start in ("a", "none")]
    for model in models:
        model.load()
    before = total_work(meter for model in models for meter in model.meters)
    with torch.no_grad():
        models[0].logits(torch.tensor([[1, 2, 3]]), torch.ones(1, 3))
    after = total_work(meter for model in models for meter in model.meters)
    assert after.tokens - before.tokens == 3
    models[0].unload()
    assert len(stack._forward_hooks) == hooks + 1
    models[1].unload()
    assert len(stack._forward_hooks) == hooks


def test_a_meter_changes_no_number():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 4))
    given = torch.randn(2, 3, 4, requires_grad=True)

    def both():
        output = network(given)
        return output, *torch.autograd.grad(output.square().sum(), given)

    plain = both()
    with ExitStack() as undo:
        (meter,) = watch([network], undo)
        assert all(map(torch.equal, both(), plain))
        assert (meter.forward, meter.backward) == (6, 6)
        assert meter.flops == (2 + 2) * 6 * (32 + 32)
    assert all(map(torch.equal, both(), plain))
    assert (meter.forward, meter.backward) == (6, 6)


def test_work_of_random_rows_adds_up():
    network = nn.Linear(4, 4)
    meter = Meter(network)
    rng = random.Random(0)
    sizes = [(rng.randint(1, 5), rng.randint(1, 5)) for _ in range(9)]
    for rows, width in sizes:
        network(torch.zeros(rows, width, 4))
    tokens = sum(rows * width for rows, width in sizes)
    assert total_work([meter, meter]) == (tokens, 2 * 16 * tokens)
