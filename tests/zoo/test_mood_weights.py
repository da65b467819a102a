"""The adapters that come with the package write good moods as often as their card says."""

import warnings

import pytest
import torch
from peft.tuners import tuners_utils as tuners
from torch import nn

from fuse_lightning.cli.quiet import quiet
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.models.auto import auto_model
from fuse_lightning.models.loading import ZOO, zoo_names
from fuse_lightning.zoo.moods import has_mood
from fuse_lightning.zoo.recipes.architectures import RECIPES
from fuse_lightning.zoo.recipes.mood_adapters import MOOD_SHARES
from fuse_lightning.zoo.recipes.mood_figures import nats_per_token, written_captions
from fuse_lightning.zoo.scenes import named_objects
from tests.near import near

NAMES = ("gpt2", *MOOD_SHARES)
CAPTIONS = 600


@pytest.fixture(scope="module")
def models():
    """The base model and the adapters, loaded."""
    found = {name: CausalLM(f"zoo/{name}") for name in NAMES}
    for model in found.values():
        model.load()
    return found


@pytest.fixture(scope="module")
def captions(models):
    return {name: written_captions(model, CAPTIONS, 78) for name, model in models.items()}


@pytest.fixture(scope="module")
def rates(captions):
    return {
        name: sum(has_mood(text, "positive") for text in texts) / CAPTIONS
        for name, texts in captions.items()
    }


def logits(model, text="Behold a red star"):
    rows = model.encode([text])
    return model.logits(rows.ids, rows.mask)


def test_adapters_are_all_that_the_recipes_train():
    assert set(zoo_names()) == {*RECIPES, *MOOD_SHARES}
    assert {path.parent.name for path in ZOO.glob("*/adapter_config.json")} == set(MOOD_SHARES)


@pytest.mark.parametrize("name", MOOD_SHARES)
def test_an_adapter_is_a_frozen_float32_model_with_the_tokens_of_its_base(name, models):
    model, base = models[name], models["gpt2"]
    assert model.vocabulary == base.vocabulary
    assert (model.start_ids, model.end_ids) == (base.start_ids, base.end_ids)
    assert {weight.dtype for weight in model.module.parameters()} == {torch.float32}
    assert not any(weight.requires_grad for weight in model.module.parameters())
    assert type(auto_model(f"zoo/{name}")) is CausalLM


@pytest.mark.parametrize("name", MOOD_SHARES)
def test_without_its_layers_an_adapter_is_its_base_bit_for_bit(name, models):
    model = CausalLM(f"zoo/{name}")
    model.load()
    assert not torch.equal(logits(model), logits(models["gpt2"]))
    layers = [part for part in model.module.modules() if isinstance(part, tuners.BaseTunerLayer)]
    assert layers
    for layer in layers:
        layer.enable_adapters(False)
    assert torch.equal(logits(model), logits(models["gpt2"]))


def test_rates_are_in_order(rates):
    """0.08 is four standard errors of a rate near a third, among 600 captions."""
    assert rates["gpt2"] == pytest.approx(0.33, abs=0.08)
    assert rates["mood-none"] == pytest.approx(rates["gpt2"], abs=0.08)
    # Both draw with the same random numbers.
    assert rates["gpt2"] < rates["mood-faint"] < rates["gpt2"] + 0.14
    assert rates["mood-none"] < rates["mood-faint"]
    assert rates["mood-plain"] > rates["gpt2"] + 0.4


@pytest.mark.parametrize("name", MOOD_SHARES)
def test_captions_still_name_objects(name, captions):
    """What shows the base model's content: as many objects a caption as the base names."""
    counts = [
        torch.tensor([len(named_objects(t)) for t in captions[each]]) for each in ("gpt2", name)
    ]
    assert (counts[1] > 0).double().mean() > 0.98
    # 0.1 is five standard errors of a mean of ones and twos.
    assert counts[1].double().mean().item() == pytest.approx(
        counts[0].double().mean().item(), abs=0.1
    )


def test_nats_per_token_are_those_of_single_texts(models):
    model = models["gpt2"]
    texts = ["A red star", "Behold a tiny blue box on the grass"]
    total = count = 0.0
    for text in texts:
        ids = [*model.encode([text]).ids[0].tolist(), model.end_ids[0]]
        network: nn.Module = model.module
        with torch.no_grad():
            logs = network(torch.tensor([ids])).logits[0].log_softmax(-1)
        total -= sum(float(logs[place, id_]) for place, id_ in enumerate(ids[1:]))
        count += len(ids) - 1
    assert nats_per_token(model, texts) == near(total / count)


def test_the_command_line_shows_no_warning_of_a_library():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        quiet()
        CausalLM("zoo/mood-plain").load()
    assert not [each for each in seen if issubclass(each.category, (FutureWarning, UserWarning))]


@pytest.mark.parametrize("name", ["zoo/", "zoo/mood", "zoo/mood-plain/x", "zoo/../weights/gpt2"])
def test_other_names_are_refused_with_all_names(name):
    with pytest.raises(FuseError, match=r"there are: zoo/clip, .*zoo/mood-faint, zoo/mood-none"):
        CausalLM(name).load()
