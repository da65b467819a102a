"""What prompts may say."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.optimizers import Constraints
from tests import tiny

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
    ],
)
def test_slips_are_no_constraints(options, message):
    with pytest.raises(FuseError, match=message):
        Constraints(**options)
