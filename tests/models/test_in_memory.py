import copy

import pytest
import torch
from diffusers import StableDiffusionPipeline
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image
from torch import nn
from transformers import (
    AutoImageProcessor,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoProcessor,
    AutoTokenizer,
    GPT2Model,
)

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.data import ImageTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.models import (
    CLIP,
    CaptionModel,
    CausalLM,
    Classifier,
    Diffusion,
    SentenceEncoder,
    Vocabulary,
)
from fuse_lightning.models.auto import auto_model
from fuse_lightning.models.base import FrozenModel
from fuse_lightning.models.loading import load_tokenizer
from fuse_lightning.models.options import ModelOptions
from fuse_lightning.objectives import Fluency, ImageSimilarity, LogProb, Objective, TextSimilarity
from fuse_lightning.optimizers import RandomSearch
from fuse_lightning.search import GreedySearch
from tests.factories.builders import KINDS
from tests.factories.captioners import blip
from tests.factories.diffusion import stable_diffusion
from tests.factories.pictures import write_pictures
from tests.optimizers.runs import close, fit, found

AUTO = {
    CausalLM: AutoModelForCausalLM,
    CLIP: AutoModel,
    Classifier: AutoModelForSequenceClassification,
    SentenceEncoder: AutoModel,
}
TEXTS = ["a red house by the sea", "hello", "A small dog!"]
NAMES = ["gpt2", "llama", "mamba", "clip", "old_clip", "siglip", "bert_classifier"]
NAMES += ["gpt2_classifier", "sentence_encoder"]


@pytest.fixture
def network(folder):
    """A look-alike as the user has it after training: in memory, in training mode."""

    def get(name, auto=None):
        return (auto or AUTO[KINDS[name]]).from_pretrained(folder(name)).train()

    return get


def outputs(model):
    """What a search asks of a model of any kind."""
    rows = model.encode(TEXTS)
    with torch.no_grad():
        match model:
            case CausalLM():
                return model.token_nll(rows.ids, rows.mask.index_fill(1, torch.tensor(0), False))
            case Classifier():
                return model.logits(rows)
            case _:
                return model.text_features(rows)


def state(network):
    """Everything of a network that a search may touch."""
    configs = [
        network.config,
        *(getattr(network.config, name) for name in network.config.sub_configs),
    ]
    return {
        "training": [part.training for part in network.modules()],
        "gradients": [weight.requires_grad for weight in network.parameters()],
        "devices": [weight.device for weight in network.parameters()],
        "weights": {name: weight.clone() for name, weight in network.state_dict().items()},
        "configs": [copy.deepcopy(vars(config)) for config in configs],
        "attention": [config._attn_implementation for config in configs],
        "end": [getattr(part, "eos_token_id", None) for part in network.modules()],
        "compiled": [part._compiled_call_impl for part in network.modules()],
    }


def assert_same(now, before):
    torch.testing.assert_close(now["weights"], before["weights"], rtol=0, atol=0)
    for kind in before.keys() - {"weights"}:
        assert now[kind] == before[kind], kind


@pytest.mark.parametrize("name", NAMES)
def test_a_network_in_memory_computes_what_its_folder_does(name, folder, load, network):
    given, named = network(name), load(name)
    model = KINDS[name](given, tokenizer=load_tokenizer(str(folder(name)), None, False))
    model.load()
    assert model.module is given
    assert model.shares == named.shares
    assert torch.equal(outputs(model), outputs(named))
    assert model.vocabulary == named.vocabulary
    assert model.fingerprint == named.fingerprint
    assert model.max_tokens == named.max_tokens


@pytest.mark.parametrize("name", NAMES)
def test_a_network_is_put_back_as_it_was(name, network):
    given = network(name)
    next(given.parameters()).requires_grad_(False)
    next(given.children()).eval()
    before = state(given)
    model = KINDS[name](given)
    assert_same(state(given), before)
    model.load()
    assert not any(part.training for part in given.modules())
    assert not any(weight.requires_grad for weight in given.parameters())
    expected = outputs(model)
    model.unload()
    assert not model.loaded
    assert_same(state(given), before)
    model.load()
    assert torch.equal(outputs(model), expected)


def test_a_network_that_is_refused_late_is_put_back(network):
    given = network("masked_lm", AutoModelForCausalLM)
    before = state(given)
    model = CausalLM(given)
    with pytest.raises(FuseError, match="reads later tokens"):
        model.load()
    assert not model.loaded
    assert_same(state(given), before)


def test_a_model_that_was_read_by_its_id_can_be_unloaded_and_read_again(load):
    model = load("gpt2")
    expected = outputs(model)
    model.unload()
    assert not model.loaded
    assert not hasattr(model, "module")
    model.unload()
    model.load()
    assert torch.equal(outputs(model), expected)


def test_a_compiled_network_is_put_back(network, monkeypatch):
    given = network("gpt2")
    monkeypatch.setattr(
        nn.Module, "compile", lambda part, **_: setattr(part, "_compiled_call_impl", part.forward)
    )
    before = state(given)
    model = CausalLM(given, compile=True)
    model.load()
    assert any(part._compiled_call_impl for part in given.modules())
    model.unload()
    assert_same(state(given), before)


def test_the_type_of_the_weights_stays(network):
    given = network("gpt2").to(torch.bfloat16)
    model = CausalLM(given)
    model.load()
    assert model.dtype == "bfloat16"
    assert not model.exact
    assert given.dtype == torch.bfloat16
    with pytest.raises(
        FuseError, match=r"dtype of '.*' is 'float32', but its weights in memory are"
    ):
        CausalLM(given, dtype="float32")
    double = network("gpt2").double()
    model = CausalLM(double)
    model.load()
    assert model.dtype == "float64"
    assert model.exact


def test_training_goes_on_after_a_search_as_if_there_had_been_none(network):
    def trained(given, search):
        torch.manual_seed(0)
        if search:
            model = CausalLM(given)
            model.load()
            outputs(model)
            model.unload()
        given.config.resid_pdrop = 0.0
        torch.manual_seed(1)
        ids = torch.arange(12).view(2, 6)
        optimizer = torch.optim.SGD(given.parameters(), 0.1)
        given(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        return given.state_dict()

    with_search, without = (trained(network("gpt2"), search) for search in (True, False))
    torch.testing.assert_close(with_search, without, rtol=0, atol=0)


def test_its_tokenizer_is_the_one_given_or_that_of_its_place(folder, network):
    path = str(folder("gpt2"))
    tokenizer = AutoTokenizer.from_pretrained(path)
    given = network("gpt2")
    for model in (
        CausalLM(given),
        CausalLM(given, tokenizer=path),
        CausalLM(given, tokenizer=folder("gpt2")),
    ):
        model.load()
        assert model.vocabulary == Vocabulary(tokenizer)
        model.unload()
    model = CausalLM(given, tokenizer=tokenizer)
    model.load()
    assert model.tokenizer is tokenizer


def test_a_tokenizer_can_be_named_for_a_folder_without_one(folder, tmp_path, network):
    network("gpt2").save_pretrained(tmp_path)
    model = CausalLM(str(tmp_path), tokenizer=str(folder("gpt2")))
    model.load()
    assert model.encode(TEXTS).ids.shape[0] == len(TEXTS)


def test_a_network_that_was_made_in_memory_needs_a_tokenizer(network):
    given = type(network("gpt2"))(network("gpt2").config.__class__(n_embd=8, n_head=2, n_layer=1))
    model = CausalLM(given)
    assert model.model_id == "GPT2LMHeadModel in memory"
    with pytest.raises(FuseError, match="'GPT2LMHeadModel in memory' does not say where its token"):
        model.load()
    assert given.training


def test_a_slow_tokenizer_is_refused(network, monkeypatch):
    tokenizer = AutoTokenizer.from_pretrained(network("gpt2").config._name_or_path)
    monkeypatch.setattr(type(tokenizer), "is_fast", False)
    with pytest.raises(FuseError, match="no fast version"):
        CausalLM(network("gpt2"), tokenizer=tokenizer).load()
    with pytest.raises(FuseError, match="or give a fast tokenizer of transformers"):
        CausalLM(network("gpt2"), tokenizer=tokenizer.backend_tokenizer).load()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"revision": "main"}, "revision of .* is 'main', but the network is in memory already"),
        ({"device_map": "auto"}, "device_map of .* leave device_map out"),
        ({"quantization": "8bit"}, "quantization of .* give a hub id or a folder"),
    ],
)
def test_options_of_files_are_refused(options, message, network):
    with pytest.raises(FuseError, match=message):
        CausalLM(network("gpt2"), **options)


@pytest.mark.parametrize("thing", [nn.Linear(2, 2), 3, None])
def test_what_is_no_network_is_refused(thing):
    with pytest.raises(FuseError, match="is no model that can be searched; give a network of"):
        CausalLM(thing)


@pytest.mark.parametrize(
    ("kind", "auto", "name", "wanted"),
    [
        (CausalLM, GPT2Model, "gpt2", "give a GPT2LMHeadModel"),
        (Classifier, AutoModelForCausalLM, "gpt2", "give a GPT2ForSequenceClassification"),
        (SentenceEncoder, AutoModelForMaskedLM, "masked_lm", "give a RobertaModel"),
        (CLIP, AutoModelForCausalLM, "gpt2", "give one"),
        (SentenceEncoder, AutoModel, "clip", "give one"),
    ],
)
def test_a_network_of_another_kind_is_refused(kind, auto, name, wanted, network):
    given = network(name, auto)
    with pytest.raises(FuseError, match=f"is a {type(given).__name__}, not a .*; {wanted}"):
        kind(given).load()
    assert given.training


def test_models_of_one_network_are_one(network):
    given, other = network("gpt2"), network("gpt2")
    objective = Objective([Fluency(given), LogProb(given, name="again"), Fluency(other)])
    objective.load()
    first, second, third = (term.model for term in objective.terms)
    assert first is second
    assert first.module is given
    assert third.module is other


def test_a_network_and_the_folder_it_came_from_are_two_models(network):
    given = network("gpt2")
    named = CausalLM(given.config._name_or_path)
    assert CausalLM(given).model_id == named.model_id
    assert CausalLM(given).key != named.key


def test_terms_take_networks(network):
    assert type(TextSimilarity(network("sentence_encoder")).model) is SentenceEncoder
    assert type(TextSimilarity(network("clip")).model) is CLIP
    assert type(ImageSimilarity(network("clip")).model) is CLIP
    model = CausalLM(network("gpt2"))
    assert Fluency(model).model is model


def test_the_identity_of_a_term_names_no_object(network, folder):
    given, path = network("gpt2"), str(folder("gpt2"))
    tokenizer = AutoTokenizer.from_pretrained(path)
    in_memory = Fluency(CausalLM(given, tokenizer=tokenizer)).identity()
    assert in_memory == Fluency(CausalLM(path)).identity()
    assert in_memory == Fluency(CausalLM(path, tokenizer=path)).identity()


@pytest.mark.parametrize("name", ["gpt2", "clip", "sentence_encoder"])
def test_a_path_is_a_folder(name, folder):
    model = KINDS[name](folder(name))
    model.load()
    assert model.model_id == str(folder(name))
    assert type(auto_model(folder(name))) is KINDS[name]


@pytest.mark.parametrize("name", KINDS)
def test_the_kind_of_a_network_is_told_by_its_class(name, network):
    assert type(auto_model(network(name))) is KINDS[name]


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
        rows = model.encode(TEXTS[:1])
        states = model.module(input_ids=rows.ids).last_hidden_state[0]
    pooled = {"cls": states[0], "max": states.amax(0), "lasttoken": states[-1]}[mode]
    found = model.text_features(rows)[0]
    torch.testing.assert_close(found, nn.functional.normalize(pooled, dim=0))
    with pytest.raises(FuseError, match=r"pooling of .* is 'sum'; give one of mean"):
        SentenceEncoder(str(folder("sentence_encoder")), pooling="sum")


def test_every_option_of_a_model_is_named_once():
    names = FrozenModel.__init__.__annotations__
    assert set(ModelOptions.__annotations__) == set(names) - {"model_id", "return"}


def searched(lm, clip, folder):
    """Prompts that a short search finds, and the checkpoint that it leaves."""
    terms = [Fluency(lm, prefix="An image of"), ImageSimilarity(clip, weight=8)]
    options = {"batch_size": 8, "prompt_length": 4, "steps": 3}
    module = RandomSearch(terms, adapter=AdapterSettings(cache=False), **options)
    data = ImageTargets(str(write_pictures(folder.parent / "pictures", 2)), batch_size=2)
    checkpoints = ModelCheckpoint(folder, "last", every_n_train_steps=1)
    fit(module, data, folder, GreedySearch(), checkpoints)
    for term in terms:
        term.model.unload()
    (path,) = folder.glob("*.ckpt")
    return found(module), path.stat().st_size


def test_a_search_over_networks_is_that_over_their_folders(request, folder, network, tmp_path):
    """Networks are as they were afterwards, and no checkpoint holds their weights."""
    paths = [str(folder(name)) for name in ("gpt2", "clip")]
    networks = [network(name).double() for name in ("gpt2", "clip")]
    request.getfixturevalue("double")
    before = [state(each) for each in networks]
    rows, size = searched(*networks, tmp_path / "memory")
    expected, named_size = searched(*paths, tmp_path / "named")
    assert rows == close(expected)
    assert size == pytest.approx(named_size, rel=0.05)
    for each, kept in zip(networks, before, strict=True):
        assert_same(state(each), kept)
