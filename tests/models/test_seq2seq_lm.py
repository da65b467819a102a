"""Encoder-decoders against plain transformers: one text and one answer at a time, no padding."""

import copy
from contextlib import contextmanager

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import BartModel, T5EncoderModel

from fuse_lightning.engine.budget import Budget
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM, SentenceEncoder, Seq2SeqLM
from fuse_lightning.models.auto import auto_model
from tests.factories.folders import edit_json
from tests.factories.seq2seq_lms import SEQ2SEQ_LMS, t5
from tests.factories.virtual import accelerators, lies
from tests.near import assert_near

TEXTS = ["a red house by the sea. it was", "hello", "the film was bad; nobody liked the ending"]
ANSWERS = ["great", "the film", "the", "a", "the dog runs over the field", "bad"]
every_model = pytest.mark.parametrize("name", SEQ2SEQ_LMS)
STARTS = {"t5": 1, "t5_adapted": 1, "bart": 2}


def plain_nll(model, text, answer):
    """-log P of an answer's tokens but the last special one, of transformers' own labels."""
    ids = model.tokenizer(text, return_tensors="pt").input_ids
    labels = model.tokenizer(answer.strip(), return_tensors="pt").input_ids
    # BART's labels begin with a token that is no part of the answer.
    skipped = int(int(labels[0, 0]) in model.start_ids)
    with torch.no_grad():
        logits = model.module(input_ids=ids, labels=labels).logits[0]
    places = torch.arange(skipped, labels.shape[1] - 1)
    return -logits.log_softmax(-1)[places, labels[0, places]].sum()


def ask(model, pairs):
    texts, answers = zip(*pairs, strict=True)
    return model.answer_nll(model.encode(texts), answers)


@contextmanager
def read_by(part):
    """Shapes of the ids that a part of a network reads."""
    shapes = []
    handle = part.register_forward_pre_hook(
        lambda _, args, given: shapes.append(tuple(given["input_ids"].shape)), with_kwargs=True
    )
    yield shapes
    handle.remove()


@every_model
def test_likelihoods_are_those_of_transformers_labels_in_batches_of_any_size(
    name, in_double, monkeypatch
):
    model = in_double(name)
    # T5 normalizes in float32 whatever the weights are.
    monkeypatch.setattr(torch, "float32", torch.float64)
    expected = {(t, a): plain_nll(model, t, a) for t in TEXTS for a in ANSWERS}
    pair = st.tuples(st.sampled_from(TEXTS), st.sampled_from(ANSWERS))

    @settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(pairs=st.lists(pair, min_size=1, max_size=12), tokens=st.integers(1, 120))
    def check(pairs, tokens):
        model.budget = Budget(tokens)
        found = ask(model, pairs)
        assert found.dtype == torch.float64
        assert_near(found, torch.stack([expected[each] for each in pairs]))

    check()


@every_model
def test_each_distinct_text_is_encoded_once_whatever_the_number_of_its_answers(name, load):
    model = load(name)
    with read_by(model.module.get_encoder()) as encoded:
        ask(model, [(text, answer) for answer in ANSWERS for text in TEXTS])
    assert sum(rows for rows, _ in encoded) == len(TEXTS)
    lengths = [len(row) for row in model.encode(TEXTS).rows]
    assert {width for _, width in encoded} <= {*lengths}


@every_model
def test_answers_that_begin_alike_share_a_row_of_the_decoder(name, load):
    model = load(name)
    with read_by(model.module.get_decoder()) as decoded:
        ask(model, [(TEXTS[0], answer) for answer in ("the", "the film", "a")])
    inputs = [row[:-1] for row in model.encode_answers(["the", "the film", "a"])]
    distinct = [
        row
        for row in {*inputs}
        if not any(other != row and other[: len(row)] == row for other in {*inputs})
    ]
    assert sum(rows for rows, _ in decoded) == len(distinct)
    assert max(width for _, width in decoded) == STARTS[name] + max(map(len, inputs))


@every_model
def test_where_memory_runs_out_the_likelihoods_stay(name, load, monkeypatch):
    model = load(name)
    pairs = [(text, answer) for text in TEXTS for answer in ANSWERS]
    expected = ask(model, pairs)
    run, refused = model.decoder_logits, []

    def small(states, seen, ids, mask):
        if len(ids) > 2:
            refused.append(len(ids))
            raise torch.OutOfMemoryError("out of memory")
        return run(states, seen, ids, mask)

    monkeypatch.setattr(model, "decoder_logits", small)
    assert_near(ask(model, pairs), expected)
    assert refused


@every_model
def test_no_pair_has_no_likelihood(name, load):
    assert load(name).answer_nll(load(name).encode([]), []).shape == (0,)


@every_model
def test_an_answer_begins_a_text_of_its_own(name, load):
    model = load(name)
    plain = model.tokenizer("the film", add_special_tokens=False).input_ids
    assert model.encode_answers([" the film", "the film", "\nthe film"]) == [tuple(plain)] * 3
    assert model.decode([plain]) == ["the film"]
    marked = model.tokenizer.convert_ids_to_tokens(plain)[0].startswith("▁")
    assert marked == (name != "bart")
    found = ask(model, [(TEXTS[0], " the film"), (TEXTS[0], "the film")])
    assert found[0] == found[1]


def test_the_decoder_starts_as_it_was_trained(load):
    assert load("t5").start_ids == (load("t5").tokenizer.pad_token_id,)
    tokenizer = load("bart").tokenizer
    assert load("bart").start_ids == (tokenizer.eos_token_id, tokenizer.bos_token_id)


@pytest.mark.parametrize(("name", "most"), [("t5", 64), ("t5_adapted", 96), ("bart", 48)])
def test_the_longest_text_is_what_tokenizer_training_or_positions_allow(name, most, load):
    model = load(name)
    assert model.max_tokens == most
    row = model.encode(["a " * 100])[:]
    row.ids, row.mask = row.ids[:, :most], row.mask[:, :most]
    assert model.answer_nll(row, ["great"]).isfinite().all()


def test_a_limit_of_the_tokenizer_comes_before_the_length_of_training(folder):
    model = Seq2SeqLM(str(folder("t5_adapted")))
    model.load()
    model.tokenizer = copy.deepcopy(model.tokenizer)
    model.tokenizer.model_max_length = 200
    assert model.max_tokens == 200


def test_a_head_of_its_own_stays_one(load):
    module = load("t5_adapted").module
    assert not torch.equal(module.lm_head.weight, module.shared.weight)


@every_model
def test_half_precision_is_near(name, folder, load):
    model = Seq2SeqLM(str(folder(name)), dtype="bfloat16")
    model.load()
    pairs = [(text, answer) for text in TEXTS for answer in ANSWERS]
    found = ask(model, pairs)
    assert found.dtype == torch.float32
    assert_near(found, ask(load(name), pairs), share=0.1)


@every_model
def test_likelihoods_come_from_the_models_device(name, folder, load):
    pairs = [(text, answer) for text in TEXTS for answer in ANSWERS]
    expected = ask(load(name), pairs)
    with accelerators():
        model = Seq2SeqLM(str(folder(name)))
        model.load("cuda:0")
        found = ask(model, pairs)
        assert lies(found) == torch.device("cuda:0")
        assert_near(found.cpu(), expected)


@every_model
def test_an_unloaded_model_can_be_loaded_again(name, load):
    model = load(name)
    expected, mark = ask(model, [(TEXTS[0], "great")]), model.fingerprint
    model.unload()
    assert not model.loaded
    model.load()
    assert model.fingerprint == mark
    assert torch.equal(ask(model, [(TEXTS[0], "great")]), expected)


@every_model
def test_the_class_is_told_by_the_configuration(name, folder):
    assert type(auto_model(str(folder(name)))) is Seq2SeqLM


def test_a_folder_that_names_the_class_without_a_head_is_read(tmp_path, folder, load):
    path = tmp_path / "bart"
    path.mkdir()
    for file in folder("bart").iterdir():
        (path / file.name).write_bytes(file.read_bytes())
    edit_json(path / "config.json", architectures=["BartModel"])
    model = auto_model(str(path))
    assert type(model) is Seq2SeqLM
    model.load()
    assert torch.equal(ask(model, [(TEXTS[0], "bad")]), ask(load("bart"), [(TEXTS[0], "bad")]))


def test_an_encoder_alone_is_no_encoder_decoder(tmp_path, folder):
    path = tmp_path / "encoder"
    T5EncoderModel.from_pretrained(folder("t5")).save_pretrained(path)
    assert type(auto_model(str(path))) is SentenceEncoder
    model = Seq2SeqLM(str(path), tokenizer=str(folder("t5")))
    with pytest.raises(FuseError, match=r"is a T5EncoderModel, not a language model with"):
        model.load()


@pytest.mark.parametrize(("name", "kind"), [("gpt2", Seq2SeqLM), ("t5", CausalLM)])
def test_a_model_of_another_kind_is_refused(name, kind, folder, load):
    with pytest.raises(FuseError, match=f"not a {kind.kind}; give the id of one"):
        load(folder(name), kind)


def test_a_network_without_a_head_is_refused(folder):
    with pytest.raises(FuseError, match=r"a BartModel, not a .* BartForConditionalGeneration"):
        Seq2SeqLM(BartModel.from_pretrained(folder("bart"))).load()


def test_a_decoder_without_a_start_is_refused(tmp_path, load):
    path = t5(tmp_path / "startless")
    for file in ("config.json", "generation_config.json"):
        edit_json(path / file, decoder_start_token_id=None)
    with pytest.raises(FuseError, match=r"startless' does not say .* add decoder_start_token_id"):
        load(path, Seq2SeqLM)


@pytest.mark.parametrize("name", ["t5", "t5_adapted"])
@pytest.mark.parametrize("answer", ["", "  ", "猫", "great 猫"])
def test_an_answer_that_has_no_tokens_of_its_own_is_refused(name, answer, load):
    model = load(name)
    with pytest.raises(FuseError, match="give another word") as raised:
        ask(model, [(TEXTS[0], answer)])
    assert repr(answer) in str(raised.value)


def test_an_answer_that_is_longer_than_the_decoder_reads_is_refused(load):
    with pytest.raises(FuseError, match=r"has 60 tokens, more than the 47 .*; shorten it"):
        ask(load("bart"), [(TEXTS[0], "a" + " a" * 59)])
