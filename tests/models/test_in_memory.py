import copy

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    GPT2Model,
)

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.data import ImageTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.models import (
    CLIP,
    CausalLM,
    Classifier,
    SentenceEncoder,
    Seq2SeqLM,
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
from tests.factories.pictures import write_pictures
from tests.near import assert_near
from tests.optimizers.runs import close, fit, found

TEXTS = ["a red house by the sea", "hello", "A small dog!"]
NAMES = ["gpt2", "llama", "mamba", "clip", "old_clip", "siglip", "bert_classifier"]
NAMES += ["gpt2_classifier", "sentence_encoder", "t5", "bart"]


def outputs(model):
    """What a search asks of a model of any kind."""
    rows = model.encode(TEXTS)
    with torch.no_grad():
        match model:
            case CausalLM():
                return model.token_nll(rows.ids, rows.mask.index_fill(1, torch.tensor(0), False))
            case Classifier():
                return model.logits(rows)
            case Seq2SeqLM():
                return model.answer_nll(rows, ["great", "the film", "dogs"])
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
    assert_near(outputs(model), outputs(named))
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
