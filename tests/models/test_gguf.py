import os
import re
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM, Classifier
from fuse_lightning.models.auto import auto_model
from fuse_lightning.models.gguf_files import split_gguf
from tests.factories.classifiers import bert_classifier
from tests.near import assert_near

gguf = pytest.importorskip("gguf")
from tests.factories import gguf_models  # noqa: E402

TEXTS = ["a red house by the sea", "hello", "<|turn|>a red house at night"]
KINDS = ("F16", "Q8_0", "Q4_0")
PLAIN = gguf.GGMLQuantizationType.F32


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder, its network and tokenizer, and files of them by name."""
    root = tmp_path_factory.mktemp("gguf")
    folder = gguf_models.llama(root / "folder")
    network = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)

    @cache
    def write(name="plain", kind="F32", **options):
        path = root / f"{name}-{kind}.gguf"
        number = gguf.GGMLQuantizationType[kind]
        return gguf_models.write_gguf(path, network, tokenizer, number, **options)

    write.folder, write.network, write.tokenizer = folder, network, tokenizer
    return write


def loaded(source, **options):
    model = CausalLM(str(source), **options)
    model.load()
    return model


def nll(model):
    rows = model.encode(TEXTS)
    return model.token_nll(rows.ids, rows.mask.index_fill(1, torch.tensor(0), False))


def test_a_file_is_the_model_that_it_was_made_of(made):
    model, folder = loaded(made()), loaded(made.folder)
    assert torch.equal(nll(model), nll(folder))
    assert torch.equal(model.embedding_table, folder.embedding_table)
    assert model.vocabulary == folder.vocabulary
    assert model.start_ids == folder.start_ids
    assert model.end_ids == folder.end_ids
    assert model.max_tokens == folder.max_tokens
    assert model.shares
    assert model.pieces == folder.pieces
    assert torch.equal(model.allowed_tokens(), folder.allowed_tokens())
    assert model.exact


def test_its_chat_template_is_read(made):
    chat = [{"role": "user", "content": "hello"}]
    found, expected = (
        loaded(path).tokenizer.apply_chat_template(chat, tokenize=False)
        for path in (made(), made.folder)
    )
    assert found == expected == "<|turn|>hello"


@pytest.mark.parametrize("kind", KINDS)
def test_weights_in_few_bits_are_what_they_stand_for(kind, made, tmp_path):
    number = gguf.GGMLQuantizationType[kind]
    network = AutoModelForCausalLM.from_pretrained(made.folder)
    for weight in network.parameters():
        if weight.ndim > 1:
            coarse = gguf.dequantize(gguf.quantize(weight.detach().numpy(), number), number)
            weight.data = torch.from_numpy(coarse.copy()).float()
    network.save_pretrained(tmp_path)
    made.tokenizer.save_pretrained(tmp_path)
    found, expected = nll(loaded(made(kind=kind))), nll(loaded(tmp_path))
    assert_near(found, expected, float(expected.abs().max()), 1e-5)
    assert (found - nll(loaded(made.folder))).abs().max() > 0


def test_a_head_that_is_the_embeddings_is_tied(tmp_path):
    folder = gguf_models.llama(tmp_path / "folder", tied=True)
    network = AutoModelForCausalLM.from_pretrained(folder)
    path = tmp_path / "tied.gguf"
    gguf_models.write_gguf(path, network, AutoTokenizer.from_pretrained(folder))
    assert torch.equal(nll(loaded(path)), nll(loaded(folder)))


def test_a_file_is_read_in_the_type_that_is_asked_for(made):
    model = loaded(made(), dtype="bfloat16")
    assert {weight.dtype for weight in model.module.parameters()} == {torch.bfloat16}


def test_the_kind_of_a_file_is_a_language_model(made):
    assert type(auto_model(str(made()))) is CausalLM
    with pytest.raises(FuseError, match="lacks 1 weights of a LlamaForSequenceClassification"):
        Classifier(str(made())).load()


def test_a_path_may_be_relative(made, monkeypatch):
    monkeypatch.chdir(made().parent)
    assert loaded(made().name).loaded
    assert loaded(f"./{made().name}").loaded


def test_a_tokenizer_of_another_place_can_be_given(made):
    model = loaded(made(), tokenizer=str(made.folder))
    assert torch.equal(nll(model), nll(loaded(made.folder)))


@pytest.mark.parametrize(
    ("model_id", "place"),
    [
        ("a.gguf", (".", "a.gguf")),
        ("folder/a.GGUF", ("folder", "a.GGUF")),
        ("/some/where/a.gguf", ("/some/where", "a.gguf")),
        ("./x/y/a.gguf", ("x/y", "a.gguf")),
        ("owner/name/a.gguf", ("owner/name", "a.gguf")),
        ("owner/name/deep/er/a.gguf", ("owner/name", "deep/er/a.gguf")),
        ("owner/name", None),
        ("zoo/gpt2", None),
    ],
)
def test_an_id_says_where_the_file_is(model_id, place):
    assert split_gguf(model_id) == place


def test_a_folder_that_is_there_comes_before_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert split_gguf("owner/name/a.gguf") == ("owner/name", "a.gguf")
    with pytest.raises(FuseError, match=r"cannot read GGUF file 'owner/name/a.gguf': "):
        CausalLM("owner/name/a.gguf").load()


def refusal(path, **options):
    model = CausalLM(str(path), **options)
    with pytest.raises(FuseError) as raised:
        model.load()
    message = str(raised.value)
    assert "\n" not in message
    assert repr(str(path)) in message
    assert not model.loaded
    return message


@pytest.mark.parametrize("module", ["is_gguf_available", "is_accelerate_available"])
def test_without_the_packages_one_line_says_so(module, made, monkeypatch):
    monkeypatch.setattr(f"fuse_lightning.models.gguf_files.{module}", lambda: False)
    assert "run pip install 'fuse-lightning[gguf]'" in refusal(made())


def test_a_missing_file_is_refused(tmp_path):
    assert "cannot read GGUF file" in refusal(tmp_path / "missing.gguf")
    assert "cannot read GGUF file" in refusal("owner/missing/a.gguf")


def test_what_is_no_file_is_refused(tmp_path):
    (tmp_path / "folder.gguf").mkdir()
    assert "folder" in refusal(tmp_path / "folder.gguf")
    os.mkfifo(tmp_path / "pipe.gguf")
    assert "named pipe" in refusal(tmp_path / "pipe.gguf")


@pytest.mark.parametrize("content", [b"", b"GG", b"PK\x03\x04" + b"\0" * 64])
def test_what_is_no_gguf_file_is_refused(content, tmp_path):
    (tmp_path / "a.gguf").write_bytes(content)
    assert "is no GGUF file: it does not begin with GGUF" in refusal(tmp_path / "a.gguf")


def test_an_unknown_architecture_is_refused(made):
    message = refusal(made("strange", architecture="strange"))
    assert re.search("transformers cannot read .*strange.*give the model as safetensors", message)


def test_a_file_without_a_tokenizer_is_refused(made, tmp_path):
    reader = gguf.GGUFReader(made())
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "llama")
    for key, field in reader.fields.items():
        if key.startswith("llama."):
            writer.add_key_value(key, field.contents(), field.types[0])
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    refusal(tmp_path / "a.gguf")


def test_a_file_that_lacks_a_weight_is_refused(made, monkeypatch):
    monkeypatch.setattr(
        gguf.GGUFWriter,
        "add_tensor",
        lambda self, name, *args, _add=gguf.GGUFWriter.add_tensor, **options: (
            None if "ffn_up" in name else _add(self, name, *args, **options)
        ),
    )
    assert "lacks 2 weights" in refusal(made("lacking"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("block_count", 2**31),
        ("embedding_length", 2**30),
        ("feed_forward_length", 2**31),
        ("vocab_size", 2**31),
        ("attention.head_count", 2**30),
        ("rope.dimension_count", 2**30),
    ],
)
def test_sizes_that_the_file_cannot_hold_are_refused_before_they_cost_memory(
    name, value, made, tmp_path
):
    content = bytearray(made().read_bytes())
    key = f"llama.{name}".encode()
    place = content.index(key) + len(key) + 4
    content[place : place + 4] = value.to_bytes(4, "little")
    (tmp_path / "a.gguf").write_bytes(content)
    assert "cannot be read" in refusal(tmp_path / "a.gguf")


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 0.999))
def test_a_file_that_was_cut_off_is_refused(share, made, tmp_path):
    content = made().read_bytes()
    path = tmp_path / "cut.gguf"
    path.write_bytes(content[: int(share * len(content))])
    refusal(path)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1), byte=st.integers(0, 255))
def test_a_changed_byte_is_read_or_refused_in_one_line(place, byte, made, tmp_path):
    content = bytearray(made().read_bytes())
    content[4 + int(place * content.index(b"blk.1.ffn_norm"))] = byte
    path = tmp_path / "changed.gguf"
    path.write_bytes(content)
    message = ""
    try:
        loaded(path)
    except FuseError as error:
        message = str(error)
    assert "\n" not in message


def scaled(writer):
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)


def with_factors(writer):
    writer.add_tensor("rope_freqs.weight", np.ones(4, dtype=np.float32))


@pytest.mark.parametrize("extra", [scaled, with_factors])
def test_rotations_that_transformers_leaves_out_are_told(extra, made):
    with pytest.warns(UserWarning, match=r"scales its rotations, which transformers does not read"):
        loaded(made(extra.__name__, extra=extra))


def cut_otherwise(writer):
    writer.kv_data[0]["tokenizer.ggml.pre"].value = "smollm"


def test_a_cut_of_texts_that_transformers_does_not_know_is_told(made):
    with pytest.warns(UserWarning, match=r"cuts texts as 'smollm', .* as tokenizer"):
        loaded(made("smollm", extra=cut_otherwise))


@pytest.mark.filterwarnings("error::UserWarning")
def test_nothing_is_told_of_a_plain_file(made):
    assert loaded(made()).loaded


def test_a_folder_beside_a_file_is_still_a_folder(tmp_path):
    folder = bert_classifier(tmp_path / "model.gguf.d")
    model = Classifier(str(folder))
    model.load()
    assert model.loaded
