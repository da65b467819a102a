from itertools import pairwise

import pytest
import torch

from tests.factories.causal_lms import CAUSAL_LMS
from tests.factories.clips import CLIPS

ALL = [*CAUSAL_LMS, *CLIPS, "bert_classifier", "roberta_classifier", "sentence_encoder"]
SETS = ("any", "ascii", "words")
every_model = pytest.mark.parametrize("name", ALL)
# Marks of a word's beginning, or of a word's inside, as each kind of tokenizer writes them.
WORD_STARTS = {"gpt2": "Ġ", "llama": "Ġ", "gemma": "▁", "mistral": "▁", "siglip": "▁"}


@every_model
def test_special_tokens_are_never_allowed(name, load):
    model = load(name)
    special = [index for index in model.tokenizer.all_special_ids if index < model.vocab_size]
    assert special
    for tokens in SETS:
        assert not model.allowed_tokens(tokens)[special].any()
    assert {model.pieces[index] for index in special} == {""}


@every_model
def test_allowed_tokens_spell_what_their_set_says(name, load):
    model = load(name)
    pieces = model.pieces
    for tokens, narrower in pairwise(SETS):
        wide, narrow = model.allowed_tokens(tokens), model.allowed_tokens(narrower)
        assert narrow.any()
        assert not (narrow & ~wide).any()
    for index in model.allowed_tokens("any").nonzero().flatten().tolist():
        assert pieces[index].strip()
        assert "\ufffd" not in pieces[index]
    for index in model.allowed_tokens("ascii").nonzero().flatten().tolist():
        assert pieces[index].isascii()
        assert pieces[index].isprintable()
    for index in model.allowed_tokens("words").nonzero().flatten().tolist():
        assert pieces[index].strip().isalpha() or pieces[index].strip() in (",", ".")


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen2", "gemma", "mistral", "clip"])
def test_bytes_of_characters_beyond_ascii_are_no_tokens_of_a_prompt(name, load):
    model = load(name)
    ids = model.tokenizer("鷲", add_special_tokens=False)["input_ids"]
    assert len(ids) > 1
    assert not model.allowed_tokens("any")[ids].all()
    assert not model.allowed_tokens("ascii")[ids].any()


@pytest.mark.parametrize("name", ["gpt2", "roberta_classifier"])
def test_words_of_other_alphabets_are_allowed_only_where_any_token_is(name, load):
    model = load(name)
    index = next(i for i, piece in enumerate(model.pieces) if piece.strip() in ("ñ", "á", "ß", "ö"))
    assert model.allowed_tokens("any")[index]
    assert not model.allowed_tokens("ascii")[index]


# In CLIP's, what a token adds depends on the one before it.
@pytest.mark.parametrize("name", [name for name in ALL if "clip" not in name or name == "siglip"])
def test_pieces_put_one_after_the_other_spell_the_text(name, load):
    model = load(name)
    text = "a red house, hello dogs at night"
    ids = model.tokenizer(f"a {text}", add_special_tokens=False)["input_ids"]
    first = model.tokenizer("a", add_special_tokens=False)["input_ids"]
    assert ids[: len(first)] == first
    spelled = "".join(model.pieces[index] for index in ids[len(first) :])
    # Some decoders put a space before a comma, which their tokenizers do not mind.
    assert spelled.replace(" ,", ",") == f" {text}"


@pytest.mark.parametrize(("name", "mark"), WORD_STARTS.items())
def test_marks_of_a_word_start_are_spaces_in_pieces(name, mark, load):
    model = load(name)
    tokens = model.tokenizer.convert_ids_to_tokens(list(range(model.vocab_size)))
    checked = 0
    for index in model.allowed_tokens("words").nonzero().flatten().tolist():
        assert (model.pieces[index][0] == " ") == (tokens[index][0] == mark)
        checked += 1
    assert checked > 20


def test_word_pieces_within_a_word_have_no_space(load):
    model = load("bert_classifier")
    vocab = model.tokenizer.get_vocab()
    assert model.pieces[vocab["##s"]] == "s"
    assert model.pieces[vocab["house"]] == " house"


def test_clip_tokens_keep_apart_what_follows_an_end_of_word_only(load):
    model = load("clip")
    vocab = model.tokenizer.get_vocab()
    assert model.decode([[vocab["a</w>"], vocab["house</w>"]]])[0].strip() == "a house"
    assert model.decode([[vocab["a"], vocab["house</w>"]]])[0].strip() == "ahouse"


@every_model
def test_encoding_pads_on_the_right_and_spans_point_into_the_text(name, load):
    model = load(name)
    texts = ["a red house by the sea", "hello"]
    encoded = model.encode(texts)
    for row, text in enumerate(texts):
        length = int(encoded.mask[row].sum())
        assert encoded.mask[row].tolist() == [True] * length + [False] * (
            encoded.mask.shape[1] - length
        )
        assert set(encoded.ids[row, length:].tolist()) <= {model.pad_id}
        spans = [span for span in encoded.spans[row].tolist() if span[0] < span[1]]
        assert spans[0][0] == 0
        assert spans[-1][1] == len(text)
        covered = {place for span in spans for place in range(*span)}
        assert covered >= {place for place, letter in enumerate(text) if letter != " "}
        assert torch.equal(
            encoded.spans[row, length:], torch.zeros_like(encoded.spans[row, length:])
        )


def test_a_slice_of_a_batch_is_trimmed_to_its_longest_text(load):
    model = load("gpt2")
    encoded = model.encode(["hello", "a", "a red house by the sea"])
    assert torch.equal(encoded[:1].ids, model.encode(["hello"]).ids)
    assert encoded[:2].ids.shape == encoded[:2].mask.shape == encoded[:2].spans.shape[:2]
