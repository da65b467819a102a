import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from transformers import GPT2LMHeadModel, PreTrainedTokenizerFast

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM, SentenceEncoder, Vocabulary
from fuse_lightning.models.loading import load_tokenizer
from fuse_lightning.models.vocabulary import is_in
from tests.factories import causal_lms
from tests.factories import tokenizers as made
from tests.factories.builders import BUILDERS
from tests.factories.folders import edit_json
from tests.factories.sentence_encoders import sentence_encoder
from tests.factories.vocabularies import CORPUS

TEXTS = st.text(st.sampled_from("aeglnoprst  ,.'1-AZéß字\n🙂"), max_size=30)


def read(folder):
    return load_tokenizer(str(folder), None, False)


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """One load of every tokenizer, and the folder that it came from."""
    found = {}

    def get(name):
        if name not in found:
            folder = BUILDERS[name](tmp_path_factory.mktemp(name) / name)
            found[name] = read(folder), folder
        return found[name]

    return get


def changed(tokenizer, change):
    """The same tokenizer with another state."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    change(state)
    backend = Tokenizer.from_str(json.dumps(state))
    return PreTrainedTokenizerFast(tokenizer_object=backend, **tokenizer.special_tokens_map)


def rebuilt(tokenizer):
    return changed(tokenizer, lambda state: None)


@pytest.mark.parametrize("name", BUILDERS)
def test_two_loads_of_one_tokenizer_are_equal(name, tokenizers, tmp_path):
    tokenizer, folder = tokenizers(name)
    tokenizer.save_pretrained(tmp_path)
    first, again = Vocabulary(tokenizer), Vocabulary(read(folder))
    moved = Vocabulary(read(tmp_path))
    assert first == again == moved
    assert len({first, again, moved}) == 1
    assert first.digest == again.digest == moved.digest


def test_vocabularies_are_equal_exactly_where_tokenizers_read_and_spell_alike(tokenizers):
    """Of all pairs: equal ones agree on every text; unequal ones on some text or piece do not."""
    made = {name: Vocabulary(tokenizers(name)[0]) for name in BUILDERS}
    texts = [*CORPUS, "A Red House", "  two  spaces", "a\nb", "naïve Straße", "字"]
    told = {
        name: (
            [row.ids for row in vocabulary.words.read(texts)],
            vocabulary.pieces,
            sorted(vocabulary.marks),
            sorted(vocabulary.added_ids),
        )
        for name, vocabulary in made.items()
    }
    pairs = [(a, b) for a in made for b in made if a < b]
    equal = [(a, b) for a, b in pairs if made[a] == made[b]]
    assert ("clip", "old_clip") in equal
    for a, b in equal:
        assert told[a] == told[b]
        assert hash(made[a]) == hash(made[b])
    for a, b in set(pairs).difference(equal):
        assert told[a] != told[b], (a, b)


@given(TEXTS)
def test_equal_vocabularies_read_any_text_alike(text):
    first, second = (Vocabulary(make()) for make in (made.clip_tokenizer,) * 2)
    assert first == second
    ids = first.encode([text]).ids
    assert torch.equal(ids, second.encode([text]).ids)
    assert first.decode(ids.tolist()) == second.decode(ids.tolist())


def without_last_merge(state):
    state["model"]["merges"] = state["model"]["merges"][:-1]


def merges_in_another_order(state):
    merges = state["model"]["merges"]
    state["model"]["merges"] = [merges[1], merges[0], *merges[2:]]


def two_tokens_change_places(state):
    vocab = state["model"]["vocab"]
    first, second = [token for token in vocab if token.isalpha()][:2]
    vocab[first], vocab[second] = vocab[second], vocab[first]


def lower_case(state):
    state["normalizer"] = json.loads(normalizers.Lowercase().__getstate__())


def other_cut(state):
    cut = pre_tokenizers.ByteLevel(add_prefix_space=True)
    state["pre_tokenizer"] = json.loads(cut.__getstate__())


def other_spelling(state):
    state["decoder"] = json.loads(decoders.Fuse().__getstate__())


@pytest.mark.parametrize(
    "change",
    [
        without_last_merge,
        merges_in_another_order,
        two_tokens_change_places,
        lower_case,
        other_cut,
        other_spelling,
    ],
)
def test_a_tokenizer_that_reads_or_spells_otherwise_is_not_equal(change):
    plain = made.gpt2_tokenizer()
    assert Vocabulary(plain) == Vocabulary(rebuilt(plain))
    assert Vocabulary(plain) != Vocabulary(changed(plain, change))


def unset_affixes_as_null(state):
    model = state["model"]
    assert model["continuing_subword_prefix"] == model["end_of_word_suffix"] == ""
    model["continuing_subword_prefix"] = model["end_of_word_suffix"] = None


def offsets_not_trimmed(state):
    state["pre_tokenizer"]["trim_offsets"] = not state["pre_tokenizer"]["trim_offsets"]


@pytest.mark.parametrize("change", [unset_affixes_as_null, offsets_not_trimmed])
def test_other_ways_to_write_the_same_tokenizer_are_equal(change):
    plain = made.gpt2_tokenizer()
    assert Vocabulary(plain) == Vocabulary(changed(plain, change))


def test_what_stands_around_a_text_is_no_part_of_the_vocabulary():
    plain = made.gpt2_tokenizer()
    begun = rebuilt(plain)
    end = plain.eos_token
    template = processors.TemplateProcessing(
        single=f"{end} $A", special_tokens=[(end, plain.eos_token_id)]
    )
    begun.backend_tokenizer.post_processor = template
    first, second = Vocabulary(plain), Vocabulary(begun)
    assert first.encode(["a house"]).ids.tolist() != second.encode(["a house"]).ids.tolist()
    assert first == second


def test_reading_with_padding_or_cutting_changes_no_vocabulary():
    tokenizer, plain = made.bert_tokenizer(), Vocabulary(made.bert_tokenizer())
    tokenizer(["a", "a b c"], padding=True, truncation=True, max_length=3)
    assert Vocabulary(tokenizer) == plain


@pytest.mark.parametrize("special", [False, True])
def test_an_added_token_makes_another_vocabulary(special):
    tokenizer = made.gpt2_tokenizer()
    tokenizer.add_tokens([AddedToken("<|user|>", special=special)])
    assert Vocabulary(tokenizer) != Vocabulary(made.gpt2_tokenizer())


def test_one_added_token_in_place_of_another_makes_another_vocabulary():
    special, plain = made.gpt2_tokenizer(), made.gpt2_tokenizer()
    special.add_tokens([AddedToken("<|user|>", special=True)])
    plain.add_tokens([AddedToken("<|user|>", special=False)])
    assert special.get_vocab() == plain.get_vocab()
    assert Vocabulary(special) != Vocabulary(plain)


def test_a_class_that_spells_otherwise_than_its_file_makes_another_vocabulary():
    clip = made.clip_tokenizer()
    plain = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(clip.backend_tokenizer.to_str()),
        **{name: getattr(clip, name) for name in ("bos_token", "eos_token", "pad_token")},
    )
    one, other = Vocabulary(clip), Vocabulary(plain)
    assert one.pieces != other.pieces
    assert one != other


def test_an_added_token_without_a_row_does_not_count():
    tokenizer = made.gpt2_tokenizer()
    size = len(tokenizer)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    assert tokenizer.pad_token_id == size
    assert Vocabulary(tokenizer, size) == Vocabulary(made.gpt2_tokenizer(), size)
    assert Vocabulary(tokenizer, size + 1) != Vocabulary(made.gpt2_tokenizer(), size)


def test_rows_of_the_network_and_the_case_of_texts_count():
    tokenizer = made.gpt2_tokenizer()
    size = len(tokenizer)
    assert len(Vocabulary(tokenizer)) == Vocabulary(tokenizer).size == size
    assert Vocabulary(tokenizer, size + 9) == Vocabulary(tokenizer, size) == Vocabulary(tokenizer)
    assert Vocabulary(tokenizer, size - 1).size == size - 1
    assert Vocabulary(tokenizer, size - 1) != Vocabulary(tokenizer)
    assert Vocabulary(tokenizer, lower=True) != Vocabulary(tokenizer)
    assert Vocabulary(tokenizer) != tokenizer


def test_a_vocabulary_of_networks_with_other_weights_and_limits_is_equal(tmp_path, load):
    folders = [causal_lms.gpt2(tmp_path / name) for name in "ab"]
    edit_json(folders[1] / "config.json", n_positions=32)
    weights = GPT2LMHeadModel.from_pretrained(folders[0])
    short = GPT2LMHeadModel(weights.config.__class__.from_pretrained(folders[1]))
    short.save_pretrained(folders[1])
    first, second = (load(folder, CausalLM) for folder in folders)
    assert first.max_tokens != second.max_tokens
    assert not torch.equal(first.embedding_table, second.embedding_table)
    assert first.vocabulary == second.vocabulary
    assert first.fingerprint != second.fingerprint


def test_other_merges_make_another_fingerprint(tmp_path, load):
    folders = [causal_lms.gpt2(tmp_path / name) for name in "ab"]
    path = folders[1] / "tokenizer.json"
    state = json.loads(path.read_text())
    without_last_merge(state)
    path.write_text(json.dumps(state))
    first, second = (load(folder, CausalLM) for folder in folders)
    assert first.tokenizer.get_vocab() == second.tokenizer.get_vocab()
    assert first.vocabulary != second.vocabulary
    assert first.fingerprint != second.fingerprint


def test_a_sentence_encoder_that_lowers_the_case_has_another_vocabulary(tmp_path, load):
    folders = [sentence_encoder(tmp_path / name) for name in "ab"]
    for folder, lower in zip(folders, (False, True), strict=True):
        settings = json.dumps({"max_seq_length": 40, "do_lower_case": lower})
        (folder / "sentence_bert_config.json").write_text(settings)
    first, second = (load(folder, SentenceEncoder) for folder in folders)
    assert first.vocabulary != second.vocabulary


def test_a_special_token_that_a_template_adds_stands_for_no_character():
    tokenizer = made.gpt2_tokenizer()
    tokenizer.add_tokens([AddedToken("<|user|>", special=True)])
    index = tokenizer.convert_tokens_to_ids("<|user|>")
    assert index not in tokenizer.all_special_ids
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|user|> $A", special_tokens=[("<|user|>", index)]
    )
    encoded = Vocabulary(tokenizer).encode(["a house"])
    assert int(encoded.ids[0, 0]) == index
    assert encoded.spans[0, 0].tolist() == [0, 0]


def test_a_vocabulary_without_plain_words_says_so():
    tokenizer = made.gpt2_tokenizer()
    with pytest.raises(FuseError, match="no token of 'mine' is in the set 'words'; use 'any'"):
        Vocabulary(tokenizer, 1, name="mine").allowed("words")


@given(st.text(max_size=4))
def test_every_narrower_set_is_part_of_the_wider_one(piece):
    plain = piece.strip()
    if plain and is_in("words", piece):
        assert is_in("ascii", piece)
    if is_in("ascii", piece):
        assert is_in("any", piece)
