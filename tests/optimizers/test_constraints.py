"""What prompts may say."""

import unicodedata

import pytest
import regex
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from jsonargparse import ArgumentParser

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.optimizers import Constraints
from tests.factories import tiny

words = st.text("abcdr ,.", max_size=14)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    model = CausalLM(tiny.gpt2(tmp_path_factory.mktemp("gpt2")))
    model.load()
    return model


@settings(max_examples=300, deadline=None)
@given(words, st.lists(st.text("abcdr", min_size=1, max_size=4), max_size=3))
def test_blocked_strings_are_found_wherever_they_stand(text, block):
    admitted = Constraints(block=block).admits(text.upper())
    joined = " ".join(text.split())
    assert admitted == (not any(string in joined for string in block))


@settings(max_examples=300, deadline=None)
@given(words, st.lists(st.text("abcdr", min_size=1, max_size=5), min_size=1, max_size=4))
def test_only_allowed_words_are_admitted_and_beginnings_of_them_while_growing(text, allow):
    constraints = Constraints(allow=allow)
    parts = text.replace(",", " ").replace(".", " ").split()
    assert constraints.admits(text) == all(part in allow for part in parts)
    grown = any(
        Constraints(allow=allow).admits(text.rstrip() + word[cut:])
        for word in ["", *allow]
        for cut in range(len(word) + 1)
    )
    if grown and text.rstrip():
        assert constraints.admits(text, growing=True)
    if constraints.admits(text):
        assert constraints.admits(text, growing=True)


def test_a_phrase_is_blocked_across_any_white_space():
    constraints = Constraints(block=["Red  Star"])
    assert not constraints.admits("a red \n star")
    assert constraints.admits("a redstar")


def test_tokens_that_spell_a_blocked_string_are_never_proposed(model):
    plain, blocked = (Constraints(block=b).mask(model) for b in ([], ["re", "x"]))
    assert not (blocked & ~plain).any()
    for index in torch.nonzero(plain).flatten().tolist():
        piece = model.pieces[index].casefold()
        assert bool(blocked[index]) == ("re" not in piece and "x" not in piece)


def test_tokens_outside_allowed_words_are_never_proposed(model):
    mask = Constraints(allow=["red", "Stars"]).mask(model)
    assert mask.any()
    for index in torch.nonzero(mask).flatten().tolist():
        letters = "".join(c for c in model.pieces[index].casefold() if c.isalnum())
        assert letters in "red stars"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block": [*"abcdefghijklmnopqrstuvwxyz,."]}, "28 blocked strings"),
        ({"allow": ["鷲"]}, "1 allowed words"),
    ],
)
def test_constraints_that_leave_nothing_are_refused(model, options, message):
    with pytest.raises(FuseError, match=message):
        Constraints("words", **options).mask(model)


@pytest.mark.parametrize("given", ["[no, on]", "[7]", "[red, 0.5]"])
def test_words_that_yaml_takes_for_something_else_ask_for_quotes(given):
    parser = ArgumentParser()
    parser.add_argument("--it", type=Constraints)
    with pytest.raises(FuseError, match=r"block holds (False|7|0.5), .*put quotes around it"):
        parser.instantiate_classes(parser.parse_string(f"it: {{block: {given}}}"))
    quoted = parser.parse_string("it: {block: ['no', '7', red]}")
    assert parser.instantiate_classes(quoted).it.block == ["no", "7", "red"]


@pytest.mark.parametrize("name", ["block", "allow"])
def test_empty_strings_are_refused(name):
    with pytest.raises(FuseError, match=rf"constraints\.{name} holds an empty string"):
        Constraints(**{name: ["a", " "]})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": "Any"}, "tokens is 'Any'; give one of any, ascii, words"),
        ({"block": "red"}, "block is 'red'; give a list"),
        ({"allow": "red"}, "allow is 'red'; give a list"),
        ({"allow": ["!!!"]}, "without a word; give words"),
        ({"block": [False, True]}, "block holds False.*put quotes around"),
        ({"allow": ["red", 7]}, "allow holds 7.*put quotes around"),
        ({"block": ["\u200b\u00ad"]}, "block holds an empty string"),
    ],
)
def test_slips_are_no_constraints(options, message):
    with pytest.raises(FuseError, match=message):
        Constraints(**options)


WORDS = {
    "hindi": "हिन्दी",
    "arabic": "مُحَمَّد",
    "persian": "می\u200cخواهم",
    "thai": "ภาษาไทย",
    "hebrew": "שָׁלוֹם",
    "korean": "한국어",
    "japanese": "がっこう",
    "tamil": "தமிழ்",
    "vietnamese": "tiếng",
    "german": "Straße",
    "turkish": "İstanbul",
    "composed": "café",
    "decomposed": "cafe\u0301",
    "apostrophe": "don't",
    "curved": "don’t",
    "wide": "ＷＩＤＥ",
    "ligature": "ﬁnal",
}
every_word = pytest.mark.parametrize("word", WORDS.values(), ids=WORDS)
FORMS = ("NFC", "NFD", "NFKC", "NFKD")


@every_word
def test_an_allowed_word_admits_itself_and_no_part_of_it(word):
    constraints = Constraints("any", allow=[word])
    for form in FORMS:
        text = unicodedata.normalize(form, word)
        assert constraints.admits(text)
        assert constraints.admits(f"{text}, {text}!")
        assert all(constraints.admits(text[:end], growing=True) for end in range(len(text) + 1))
    assert not constraints.admits(word[:-1].rstrip("\u0301'’"))
    assert not constraints.admits(" ".join(word.replace("\u200c", "")))


@every_word
def test_a_blocked_word_is_found_in_every_form(word):
    constraints = Constraints("any", block=[word])
    for form in FORMS:
        text = unicodedata.normalize(form, word)
        assert not constraints.admits(f"a {text} b")
        assert not constraints.admits(f"x{text}")
        for hidden in ("\u200b", "\u00ad", "\u2060", "\ufeff", "\u200d", "\u202e", "\x07"):
            assert not constraints.admits(f"a {text[:2]}{hidden}{text[2:]} b")
    assert constraints.admits("a b")


def test_letters_of_a_word_are_not_the_word():
    assert not Constraints("any", allow=["हिन्दी"]).admits("ह न")
    accented = Constraints("any", allow=["cafe\u0301"])
    assert accented.admits("café")
    assert not accented.admits("cafe")
    contracted = Constraints("any", allow=["don't"])
    assert contracted.admits("Don’t")
    assert not contracted.admits("don")
    assert not contracted.admits("t")
    assert contracted.admits("don'", growing=True)
    assert not contracted.admits("dont", growing=True)
    assert Constraints("any", block=["cafe"]).admits("café")
    assert not Constraints("any", block=["café"]).admits("cafe\u0301")
    assert not Constraints("any", block=["star"]).admits("a st\u200bar")
    assert not Constraints("any", block=["star"]).admits("a st\u00adar")


@pytest.mark.parametrize("control", ["\x00", "\x07", "\x1b", "\x7f", "\x9b"])
def test_controls_pass_no_allow_list(control):
    constraints = Constraints("any", allow=["red"])
    assert not constraints.admits(f"red{control}")
    assert not constraints.admits(f"red {control} red", growing=True)
    assert constraints.admits("red\nred\tred")


unicode_words = st.text(st.characters(categories=["L", "M", "Nd"]), min_size=1, max_size=8).filter(
    lambda text: regex.search(r"\p{L}", text)
)


@settings(max_examples=300)
@given(
    unicode_words, st.sampled_from(FORMS), st.integers(0, 8), st.sampled_from("\u200b\u00ad\x07")
)
def test_words_of_any_script_are_admitted_or_blocked_whole(word, form, place, hidden):
    try:
        allowed, blocked = Constraints("any", allow=[word]), Constraints("any", block=[word])
    except FuseError:
        # Some letters are never seen.
        assume(False)
    text = unicodedata.normalize(form, word)
    other = unicodedata.normalize(form, f"{text[:place]}{hidden}{text[place:]}")
    assert allowed.admits(text)
    assert allowed.admits(text, growing=True)
    assert not blocked.admits(text)
    assert not blocked.admits(other)
    assert not blocked.admits(f"{text} {text}")


@settings(max_examples=200)
@given(st.lists(unicode_words, min_size=1, max_size=3), unicode_words)
def test_only_the_allowed_words_of_any_script_are_admitted(allow, word):
    def same(one, other):
        folded = (unicodedata.normalize("NFKD", text).casefold() for text in (one, other))
        return len({unicodedata.normalize("NFKD", text) for text in folded}) == 1

    plain = r"[\p{Ll}\p{Lu}\p{Lo}--\p{Default_Ignorable_Code_Point}]+"
    assume(all(regex.fullmatch(plain, text, regex.V1) for text in (*allow, word)))
    assert Constraints("any", allow=allow).admits(word) == any(same(word, text) for text in allow)
