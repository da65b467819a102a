"""Alignment of words by character offsets."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.adapters import align
from fuse_lightning.adapters.alignment import WORD
from tests.factories.zoo_tokenizers import TOKENIZERS, tokenizer

texts = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="ab, .'-\u00e9\u4e2d\U0001f600\u0301\u200d", max_size=30),
    st.lists(st.sampled_from(["red", "crimson", "naïve", "日本語", "🙂", "it's", "a-b"])).map(
        " ".join
    ),
)


@st.composite
def spans(draw, text):
    """A random partition of a text into tokens, some of them missing."""
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=12)) | {0, len(text)})
    pairs = list(pairwise(cuts))
    return [pair if draw(st.integers(0, 5)) else (0, 0) for pair in pairs]


@settings(max_examples=200, deadline=None)
@given(texts.flatmap(lambda t: st.tuples(st.just(t), spans(t), spans(t))))
def test_every_token_belongs_to_the_one_word_it_overlaps(case):
    text, source, target = case
    words = align(text, source, target)
    for side, tokens in (("source", source), ("target", target)):
        owners = {}
        for index, word in enumerate(words):
            for token in getattr(word, side):
                assert token not in owners
                owners[token] = index
        for token, (start, end) in enumerate(tokens):
            touched = [
                index
                for index, word in enumerate(words)
                if start < end and start < word.span[1] and end > word.span[0]
            ]
            assert touched == ([owners[token]] if token in owners else [])
    covered = [character for word in words for character in range(*word.span)]
    spelled = {position for match in WORD.finditer(text) for position in range(*match.span())}
    assert spelled <= set(covered)
    assert len(covered) == len(set(covered))
    assert [word.span for word in words] == sorted(word.span for word in words)


@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("names", [("byte", "clip"), ("byte", "pieces"), ("clip", "pieces")])
@given(text=texts)
def test_words_of_real_tokenizers_hold_the_tokens_that_spell_them(names, text):
    sides = []
    for name in names:
        encoded = tokenizer(name)(text, add_special_tokens=False, return_offsets_mapping=True)
        sides.append(encoded["offset_mapping"])
    for word in align(text, *sides):
        for tokens, offsets in zip((word.source, word.target), sides, strict=True):
            for token in tokens:
                start, end = offsets[token]
                assert start < word.span[1]
                assert end > word.span[0]


def test_split_words_align_token_by_token():
    #       0123456789012345
    text = "two crimson stars"
    source = [(0, 3), (3, 7), (7, 11), (11, 17)]
    target = [(0, 3), (4, 6), (6, 8), (8, 11), (12, 16), (16, 17)]
    assert [(word.source, word.target) for word in align(text, source, target)] == [
        ((0,), (0,)),
        ((1, 2), (1, 2, 3)),
        ((3,), (4, 5)),
    ]


def test_words_joined_by_one_token_count_as_one():
    words = align("it's red", [(0, 2), (2, 4), (5, 8)], [(0, 2), (2, 3), (3, 4), (5, 8)])
    assert [(word.span, word.source, word.target) for word in words] == [
        ((0, 2), (0,), (0,)),
        ((2, 4), (1,), (1, 2)),
        ((5, 8), (2,), (3,)),
    ]


def test_text_without_spaces_is_one_word():
    (word,) = align("日本語", [(0, 1), (1, 2), (2, 3)], [(0, 3)])
    assert word.source == (0, 1, 2)
    assert word.target == (0,)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_special_tokens_belong_to_no_word(name):
    encoded = tokenizer(name)("red star", return_offsets_mapping=True)
    special = {
        index
        for index, token in enumerate(encoded["input_ids"])
        if token in tokenizer(name).all_special_ids
    }
    for word in align("red star", encoded["offset_mapping"], []):
        assert not special & set(word.source)
