"""Networks in memory that come with a processor, a pipeline or sentence-transformers modules."""

import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import nn
from transformers import (
    AutoImageProcessor,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
)

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CLIP, CaptionModel, Diffusion, SentenceEncoder
from fuse_lightning.models.auto import auto_model
from tests.factories.captioners import blip
from tests.factories.diffusion import stable_diffusion


def test_a_processor_brings_the_tokenizer(network, folder):
    given = network("clip")
    processor = AutoProcessor.from_pretrained(folder("clip"), backend="pil")
    model = CLIP(given, processor=processor)
    model.load()
    assert model.tokenizer is processor.tokenizer
    assert model.processor is processor.image_processor
    named = CLIP(str(folder("clip")), processor=str(folder("clip")))
    named.load()
    picture = Image.new("RGB", (40, 30), (200, 30, 60))
    assert torch.equal(model.image_features([picture]), named.image_features([picture]))


def test_an_image_processor_alone_will_do(network, folder):
    processor = AutoImageProcessor.from_pretrained(folder("clip"), backend="pil")
    model = CLIP(network("clip"), processor=processor)
    model.load()
    assert model.processor is processor


def test_a_captioner_in_memory_writes_what_its_folder_does(tmp_path):
    path = blip(tmp_path / "blip")
    given = AutoModelForImageTextToText.from_pretrained(path).train()
    picture = Image.new("RGB", (40, 30), (200, 30, 60))
    texts = []
    for model in (
        CaptionModel(given, processor=AutoProcessor.from_pretrained(path, backend="pil")),
        CaptionModel(given),
        CaptionModel(path),
    ):
        model.load()
        texts.append(model.captions([picture], 2, max_new_tokens=6))
        model.unload()
    assert texts[0] == texts[1] == texts[2]
    assert given.training


def test_a_pipeline_in_memory_predicts_what_its_folder_does(tmp_path):
    path = stable_diffusion(tmp_path / "pipeline")
    given = StableDiffusionPipeline.from_pretrained(path, low_cpu_mem_usage=False)
    parts = [given.text_encoder, given.unet, given.vae]
    for part in parts:
        part.train()
    model, named = Diffusion(given), Diffusion(str(path))
    for each in (model, named):
        each.load()
    assert model.unet is given.unet
    noisy, times = torch.randn(2, 4, 8, 8), torch.tensor([10, 500])
    rows = [each.encode(["a red house", "hello"]) for each in (model, named)]
    with torch.no_grad():
        found, expected = (
            each.noise_prediction(row, None, noisy, times)
            for each, row in zip((model, named), rows, strict=True)
        )
    assert torch.equal(found, expected)
    picture = Image.new("RGB", (40, 30), (200, 30, 60))
    assert torch.equal(model.latents([picture]), named.latents([picture]))
    assert model.fingerprint == named.fingerprint
    assert not given.unet.training
    model.unload()
    assert all(part.training for part in parts)
    assert all(weight.requires_grad for part in parts for weight in part.parameters())


def test_what_is_no_pipeline_is_refused(network):
    with pytest.raises(FuseError, match="a GPT2LMHeadModel is no Stable Diffusion pipeline: it"):
        Diffusion(network("gpt2"))


class Pooling(nn.Module):
    def __init__(self, mode):
        super().__init__()
        self.mode = mode

    def get_config_dict(self):
        return {"pooling_mode": self.mode, "include_prompt": False}


class Transformer(nn.Module):
    do_lower_case = True

    def __init__(self, network):
        super().__init__()
        self.auto_model = network


class SentenceTransformer(nn.Sequential):
    """What the package's class looks like from outside."""

    def __init__(self, network, tokenizer, mode):
        super().__init__(Transformer(network), Pooling(mode))
        self.tokenizer = tokenizer
        self.prompts = {"query": "query: "}
        self.default_prompt_name = "query"
        self.max_seq_length = 20


@pytest.mark.parametrize("mode", ["cls", "max", "mean"])
def test_a_sentence_transformer_in_memory_reads_as_it_says(mode, network, folder):
    tokenizer = AutoTokenizer.from_pretrained(folder("sentence_encoder"))
    given = SentenceTransformer(network("sentence_encoder"), tokenizer, mode)
    model = auto_model(given)
    assert type(model) is SentenceEncoder
    model.load()
    assert model.pooling == mode
    assert model.prompt == "query: "
    assert model.max_tokens == 20
    assert model.vocabulary.lower
    assert model.passed == len(tokenizer("query: ")["input_ids"]) - 1
    plain = SentenceEncoder(given, prompt_name="missing")
    with pytest.raises(FuseError, match="has no prompt 'missing'; it has: 'query'"):
        plain.load()


@pytest.mark.parametrize("mode", ["cls", "max", "lasttoken"])
def test_a_pooling_can_be_chosen(mode, network, folder):
    model = SentenceEncoder(network("sentence_encoder"), pooling=mode)
    model.load()
    with torch.no_grad():
        rows = model.encode(["a red house by the sea"])
        states = model.module(input_ids=rows.ids).last_hidden_state[0]
    pooled = {"cls": states[0], "max": states.amax(0), "lasttoken": states[-1]}[mode]
    found = model.text_features(rows)[0]
    torch.testing.assert_close(found, nn.functional.normalize(pooled, dim=0))
    with pytest.raises(FuseError, match=r"pooling of .* is 'sum'; give one of mean"):
        SentenceEncoder(str(folder("sentence_encoder")), pooling="sum")
