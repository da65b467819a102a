import copy
import shutil

import peft
import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CLIP, CausalLM, Classifier
from fuse_lightning.models.auto import auto_model
from fuse_lightning.models.peft_adapters import find_adapter
from tests.factories.folders import edit_json
from tests.models.test_loading import Code
from tests.near import assert_near

TEXTS = ["a red house by the sea", "hello", "a red house at night"]
TARGETS = {
    "gpt2": ["c_attn", "c_proj", "c_fc"],
    "llama": ["q_proj", "v_proj", "up_proj"],
    "mistral": ["q_proj", "o_proj", "embed_tokens"],
    "opt": ["k_proj", "fc1"],
    "mamba": ["in_proj"],
    "gemma": ["q_proj", "down_proj"],
}


def adapted(folder, targets, auto=AutoModelForCausalLM, seed=0, **options):
    """A network with an adapter that changes what it computes."""
    torch.manual_seed(seed)
    config = peft.LoraConfig(r=2, target_modules=targets, init_lora_weights=False, **options)
    return peft.get_peft_model(auto.from_pretrained(folder), config)


def merged(network):
    return copy.deepcopy(network).merge_and_unload().eval()


def nll(model):
    rows = model.encode(TEXTS)
    counted = rows.mask.index_fill(1, torch.tensor(0), False)
    return model.token_nll(rows.ids, counted)


@pytest.mark.parametrize("name", TARGETS)
def test_an_adapted_network_is_the_merged_one(name, folder, load):
    network = adapted(folder(name), TARGETS[name])
    model, plain, base = CausalLM(network), CausalLM(merged(network)), load(name)
    for each in (model, plain):
        each.load()
    assert model.shares == plain.shares == base.shares
    assert_near(nll(model), nll(plain), float(nll(plain).abs().max()), 1e-4)
    assert (nll(model) - nll(base)).abs().max() > 0.1
    assert model.vocabulary == plain.vocabulary == base.vocabulary
    assert model.end_ids == base.end_ids


@pytest.mark.parametrize("name", ["gpt2", "llama", "mistral"])
def test_gradients_are_those_of_the_merged_network(name, folder):
    network = adapted(folder(name), TARGETS[name])
    grads = []
    for each in (CausalLM(network), CausalLM(merged(network))):
        each.load()
        rows = each.encode(TEXTS)
        counted = rows.mask.index_fill(1, torch.tensor(0), False)
        embeds = each.embed(rows.ids).detach().requires_grad_()
        each.token_nll(rows.ids, counted, embeds).sum().backward()
        grads.append(embeds.grad)
    assert_near(grads[0], grads[1], float(grads[1].abs().max()), 1e-4)


def test_embeddings_and_head_that_an_adapter_replaces_are_used(folder):
    network = adapted(folder("llama"), ["q_proj"], modules_to_save=["embed_tokens", "lm_head"])
    model = CausalLM(network)
    model.load()
    with torch.no_grad():
        for weight in (
            network.get_input_embeddings().weight,
            network.get_output_embeddings().weight,
        ):
            weight += torch.randn(weight.shape)
    plain = CausalLM(merged(network))
    plain.load()
    assert torch.equal(model.embedding_table, plain.embedding_table)
    assert_near(nll(model), nll(plain), float(nll(plain).abs().max()), 1e-4)


def test_a_text_tower_can_have_an_adapter(folder):
    network = adapted(folder("clip"), ["text_model.encoder.layers.0.self_attn.q_proj"], AutoModel)
    model, plain = CLIP(network), CLIP(merged(network))
    for each in (model, plain):
        each.load()
    features = [each.text_features(each.encode(TEXTS)) for each in (model, plain)]
    assert_near(features[0], features[1], 1.0, 1e-5)


def test_what_an_adapter_does_is_part_of_the_fingerprint(folder):
    def model(**options):
        made = CausalLM(adapted(folder("gpt2"), ["c_attn"], **options))
        made.load()
        return made.fingerprint

    first = model(lora_alpha=2)
    assert first == model(lora_alpha=2)
    assert first != model(lora_alpha=4)
    assert first != model(lora_alpha=2, seed=1)


def test_the_adapter_that_is_chosen_counts(folder):
    network = adapted(folder("gpt2"), ["c_attn"])
    config = peft.LoraConfig(r=2, target_modules=["c_attn"], init_lora_weights=False)
    network.add_adapter("other", config)
    models = []
    for name in ("default", "other"):
        network.set_adapter(name)
        model = CausalLM(copy.deepcopy(network))
        model.load()
        models.append(model)
    assert models[0].fingerprint != models[1].fingerprint
    assert not torch.allclose(nll(models[0]), nll(models[1]))


def test_an_adapted_network_is_put_back(folder):
    network = adapted(folder("gpt2"), ["c_attn"]).train()
    gradients = {name: weight.requires_grad for name, weight in network.named_parameters()}
    assert len(set(gradients.values())) == 2
    model = CausalLM(network)
    model.load()
    assert not any(weight.requires_grad for weight in network.parameters())
    model.unload()
    assert network.training
    assert gradients == {name: part.requires_grad for name, part in network.named_parameters()}


@pytest.mark.parametrize("kind", ["PromptTuningConfig", "PrefixTuningConfig"])
def test_a_prompt_of_vectors_is_refused(kind, folder, tmp_path):
    config = getattr(peft, kind)(task_type="CAUSAL_LM", num_virtual_tokens=3)
    network = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(folder("gpt2")), config)
    with pytest.raises(FuseError, match=r"puts vectors of its own before every text; give one"):
        CausalLM(network)
    network.save_pretrained(tmp_path)
    with pytest.raises(FuseError, match=r"puts vectors of its own before every text; give one"):
        CausalLM(str(tmp_path)).load()


@pytest.fixture
def saved(folder, tmp_path):
    """An adapter's folder, and the network that it was saved from."""

    def get(name="llama", auto=AutoModelForCausalLM, **options):
        path = tmp_path / "adapter"
        network = adapted(folder(name), TARGETS.get(name, ["query"]), auto, **options)
        network.save_pretrained(path)
        return path, network

    return get


@pytest.mark.parametrize("name", TARGETS)
def test_an_adapter_is_read_by_its_folder(name, saved):
    path, network = saved(name)
    model, given = CausalLM(str(path)), CausalLM(network)
    for each in (model, given):
        each.load()
    assert torch.equal(nll(model), nll(given))
    assert model.fingerprint == given.fingerprint
    assert model.shares == given.shares
    assert not any(weight.requires_grad for weight in model.module.parameters())
    assert not any(part.training for part in model.module.modules())


def test_the_kind_of_an_adapter_is_that_of_its_base(saved):
    path, _ = saved()
    assert type(auto_model(str(path))) is CausalLM


def test_an_adapter_is_computed_in_the_type_of_the_model(saved):
    path, _ = saved()
    model = CausalLM(str(path), dtype="bfloat16")
    model.load()
    assert {weight.dtype for weight in model.module.parameters()} == {torch.bfloat16}


def test_the_tokenizer_of_an_adapter_comes_first(saved, folder):
    path, _ = saved("gpt2")
    tokenizer = AutoTokenizer.from_pretrained(folder("gpt2"))
    tokenizer.chat_template = "{{ messages }}"
    tokenizer.save_pretrained(path)
    model = CausalLM(str(path))
    model.load()
    assert model.tokenizer.chat_template == "{{ messages }}"


def test_a_head_may_come_from_the_adapter_alone(folder, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(folder("bert_classifier"), base)
    options = {"task_type": "SEQ_CLS", "modules_to_save": ["classifier"]}
    network = adapted(base, ["query"], AutoModelForSequenceClassification, **options)
    nn.init.normal_(network.base_model.model.classifier.modules_to_save["default"].weight)
    network.save_pretrained(tmp_path / "adapter")
    weights = load_file(base / "model.safetensors")
    weights = {name: value for name, value in weights.items() if "classifier" not in name}
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    model, given = Classifier(str(tmp_path / "adapter")), Classifier(network)
    for each in (model, given):
        each.load()
    assert torch.equal(*(each.logits(each.encode(TEXTS)) for each in (model, given)))


def lose_a_weight(path):
    weights = load_file(path / "adapter_model.safetensors")
    weights.pop(min(weights))
    save_file(weights, path / "adapter_model.safetensors")


def lose_weights(path):
    (path / "adapter_model.safetensors").unlink()


def cut_weights(path):
    file = path / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:200])


def change_rank(path):
    edit_json(path / "adapter_config.json", r=3)


def name_no_base(path):
    edit_json(path / "adapter_config.json", base_model_name_or_path=None)


def name_another_base(path):
    edit_json(path / "adapter_config.json", base_model_name_or_path="zoo/missing")


def name_other_layers(path):
    edit_json(path / "adapter_config.json", target_modules=["nothing"])


def break_settings(path):
    (path / "adapter_config.json").write_text("{")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lose_a_weight, "lacks 1 weights .* save it again"),
        (lose_weights, "cannot be put into .* give an adapter of this model"),
        (cut_weights, "cannot be put into"),
        (change_rank, "cannot be put into"),
        (name_no_base, "names no base model; set base_model_name_or_path"),
        (name_another_base, "unknown zoo model 'zoo/missing'"),
        (name_other_layers, "cannot be put into"),
        (break_settings, "cannot load a model from folder"),
    ],
)
def test_a_broken_adapter_is_refused_in_one_line(change, message, saved):
    path, _ = saved()
    change(path)
    model = CausalLM(str(path))
    with pytest.raises(FuseError, match=message) as raised:
        model.load()
    assert "\n" not in str(raised.value)
    assert not model.loaded


def test_weights_that_hold_code_are_refused_and_do_not_run(saved, tmp_path):
    path, _ = saved()
    lose_weights(path)
    torch.save({"weight": Code(tmp_path / "ran")}, path / "adapter_model.bin")
    with pytest.raises(FuseError, match="more than tensors, which could run code"):
        CausalLM(str(path)).load()
    assert not (tmp_path / "ran").exists()


def test_a_hub_out_of_reach_is_asked_once(monkeypatch):
    asked = []

    def download(repo, name, *, local_files_only, **options):
        asked.extend([] if local_files_only else [name])
        raise LocalEntryNotFoundError(name)

    monkeypatch.setattr("transformers.utils.hub.hf_hub_download", download)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(FuseError, match=r"cannot load model 'nobody/x': .*HF_HUB_OFFLINE=1 saves"):
        CausalLM("nobody/x").load()
    assert asked == ["config.json"]
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FuseError, match="HF_HUB_OFFLINE is set, so that it was not asked"):
        CausalLM("nobody/x").load()


def test_an_adapter_on_the_disk_needs_no_hub(saved, monkeypatch):
    path, _ = saved()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    def find(model_id, name, *args, **options):
        return path / name if name == "adapter_config.json" else None

    monkeypatch.setattr("fuse_lightning.models.peft_adapters.find_file", find)
    adapter = find_adapter("nobody/x", None)
    assert adapter.model_id == "nobody/x"
    assert adapter.base == find_adapter(str(path), None).base
