import json
import os
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CLIP, CausalLM, Classifier, SentenceEncoder
from fuse_lightning.models.auto import auto_model
from fuse_lightning.models.loading import load_tokenizer
from tests.factories.causal_lms import gpt2
from tests.factories.classifiers import bert_classifier
from tests.factories.clips import clip
from tests.factories.folders import edit_json
from tests.factories.sentence_encoders import sentence_encoder


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


def refusal(load, source, kind):
    with pytest.raises(FuseError) as raised:
        load(source, kind)
    message = str(raised.value)
    assert "\n" not in message
    assert str(source) in message
    return message


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("clip", CausalLM),
        ("siglip", CausalLM),
        ("dual_encoder", CausalLM),
        ("clip", Classifier),
        ("clip", SentenceEncoder),
        ("gpt2", CLIP),
        ("bert_classifier", CLIP),
    ],
)
def test_a_model_of_another_kind_is_refused(name, kind, folder, load):
    assert f"not a {kind.kind}" in refusal(load, folder(name), kind)


@pytest.mark.parametrize("name", ["no-such-user/no-such-model", "no-such-model", "../nowhere"])
def test_an_unknown_id_is_refused(name, load):
    assert "no such folder" in refusal(load, name, CausalLM)


def test_an_unknown_zoo_id_is_refused(load):
    assert "unknown zoo model 'zoo/nothing'; there are: zoo/" in refusal(
        load, "zoo/nothing", CausalLM
    )
    assert "; did you mean zoo/clip-judge? there" in refusal(load, "zoo/clip-judgee", CausalLM)


def test_an_empty_id_is_refused():
    with pytest.raises(FuseError, match="model_id of a causal language model is empty"):
        CausalLM("")


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"notes.txt": "no model"},
        {"config.json": "{,"},
        {"config.json": "{}"},
        {"config.json": '{"model_type": "unheard-of"}'},
    ],
)
def test_a_folder_that_is_no_model_is_refused(files, tmp_path, load):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert "cannot load a model from folder" in refusal(load, tmp_path, CausalLM)


@pytest.mark.parametrize("content", [b"", b"no tensors at all", None])
def test_damaged_weights_are_refused(content, tmp_path, load):
    path = gpt2(tmp_path / "model") / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100] if content is None else content)
    assert "cannot load a model from folder" in refusal(load, path.parent, CausalLM)


def test_a_folder_without_weights_is_refused(tmp_path, load):
    path = gpt2(tmp_path / "model")
    (path / "model.safetensors").unlink()
    assert "model.safetensors" in refusal(load, path, CausalLM)


def test_weights_of_another_size_than_the_configuration_says_are_refused(tmp_path, load):
    path = gpt2(tmp_path / "model")
    edit_json(path / "config.json", n_positions=50)
    message = refusal(load, path, CausalLM)
    assert "transformer.wpe.weight is (48, 16) instead of (50, 16)" in message


@pytest.mark.parametrize(
    ("build", "kind"),
    [
        (gpt2, CausalLM),
        (bert_classifier, Classifier),
        (clip, CLIP),
        (sentence_encoder, SentenceEncoder),
    ],
)
def test_a_folder_without_a_tokenizer_is_refused(build, kind, tmp_path, load):
    path = build(tmp_path / "model")
    for file in path.glob("*token*"):
        file.unlink()
    assert "has no tokenizer files that can be read; add" in refusal(load, path, kind)


# Each kind of tokenizer fails without its files in a way of its own, or gives one without words.
@pytest.mark.parametrize("kind", ["llama", "pegasus", "siglip", "t5", "mbart", "qwen2"])
def test_a_configuration_without_a_tokenizer_is_refused(kind, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(FuseError, match=r"has no tokenizer files .* such as tokenizer.json$"):
        load_tokenizer(str(tmp_path), None, False)


def test_a_broken_tokenizer_file_says_what_is_wrong(tmp_path, load):
    path = gpt2(tmp_path / "model")
    (path / "tokenizer.json").write_text("{")
    assert "Expecting property name" in refusal(load, path, CausalLM)


@pytest.mark.parametrize("source", ["sentence_encoder", "masked_lm"])
def test_a_network_without_a_classification_head_is_no_classifier(source, folder, load):
    message = refusal(load, folder(source), Classifier)
    assert "lacks" in message
    assert "classifier" in message


def test_a_network_without_a_language_model_head_is_no_causal_language_model(tmp_path, load):
    path = gpt2(tmp_path / "model")
    edit_json(path / "config.json", tie_word_embeddings=False)
    assert "lacks 1 weights" in refusal(load, path, CausalLM)


def test_a_missing_encoder_layer_is_not_taken_for_an_unused_pooler(tmp_path, load):
    path = sentence_encoder(tmp_path / "model")
    weights = load_file(path / "model.safetensors")
    weights = {name: value for name, value in weights.items() if "layer.1." not in name}
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    assert "would be random" in refusal(load, path, SentenceEncoder)


@pytest.fixture
def bin_only(tmp_path):
    path = gpt2(tmp_path / "bin")
    weights = load_file(path / "model.safetensors")
    (path / "model.safetensors").unlink()
    torch.save(weights, path / "pytorch_model.bin")
    return path


def test_bin_weights_load_as_tensors(bin_only, folder, load):
    model, same = load(bin_only, CausalLM), load("gpt2")
    batch = same.encode(["a red house"])
    assert torch.equal(model.logits(batch.ids, batch.mask), same.logits(batch.ids, batch.mask))


class Code:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_bin_weights_that_hold_code_are_refused_and_do_not_run(bin_only, tmp_path, load):
    torch.save({"weight": Code(tmp_path / "ran")}, bin_only / "pytorch_model.bin")
    assert "more than tensors" in refusal(load, bin_only, CausalLM)
    assert not (tmp_path / "ran").exists()


def test_half_precision_weights_are_widened_to_float32(tmp_path, load):
    path = gpt2(tmp_path / "half")
    AutoModel.from_pretrained(path)
    weights = load_file(path / "model.safetensors")
    halved = {name: value.half() for name, value in weights.items()}
    save_file(halved, path / "model.safetensors", metadata={"format": "pt"})
    edit_json(path / "config.json", dtype="float16")
    model = load(path, CausalLM)
    assert model.module.dtype == torch.float32
    table = halved["transformer.wte.weight"].float()
    assert torch.equal(model.embedding_table, table)


def test_a_model_is_read_once(tmp_path, load):
    path = gpt2(tmp_path / "model")
    model = load(path, CausalLM)
    shutil.rmtree(path)
    model.load()
    assert model.loaded


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("gpt2", CausalLM),
        ("llama", CausalLM),
        ("clip", CLIP),
        ("siglip", CLIP),
        ("dual_encoder", CLIP),
        ("bert_classifier", Classifier),
        ("gpt2_classifier", Classifier),
        ("sentence_encoder", SentenceEncoder),
        ("masked_lm", SentenceEncoder),
    ],
)
def test_the_kind_of_a_model_is_read_from_its_configuration(name, kind, folder):
    model = auto_model(str(folder(name)))
    assert type(model) is kind
    model.load()


def test_a_model_with_code_of_its_own_asks_for_trust(tmp_path, load):
    config = {"model_type": "own", "auto_map": {"AutoConfig": "own.OwnConfig"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "own.py").write_text("raise SystemExit")
    with pytest.raises(FuseError, match=r"comes with code of its own; .* set trust_remote_code"):
        CausalLM(str(tmp_path)).load()


def test_an_unknown_dtype_is_refused():
    with pytest.raises(FuseError, match="dtype of 'zoo/gpt2' is 'fp16'; give one of float32"):
        CausalLM("zoo/gpt2", dtype="fp16")
