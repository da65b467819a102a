"""Answers behind an extractor: tokens of their own, and found in their own text."""

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from fuse_lightning.errors import FuseError
from fuse_lightning.models.vocabulary import Vocabulary
from fuse_lightning.objectives.answer_check import answer_ids, check_extractor


def vocabulary(*merged):
    """A byte-level vocabulary of single bytes and some longer tokens, spaces written as "_"."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    ids = {sign: index for index, sign in enumerate(alphabet)}
    merges = []
    for token in (token.replace("_", "Ġ") for token in merged):
        for end in range(2, len(token) + 1):
            if token[:end] not in ids:
                ids[token[:end]] = len(ids)
                merges.append((token[: end - 1], token[end - 1]))
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return Vocabulary(PreTrainedTokenizerFast(tokenizer_object=tokenizer))


YES_NO = {"True": ["True"], "False": ["False"]}
LETTERS = {letter: [letter] for letter in "AB"}


def test_ids_of_answers():
    words = vocabulary("_A", "_B")
    ids = answer_ids(words, "It is:", ["A", "B"])
    assert [words.decode([row]) for row in ids.values()] == [[" A"], [" B"]]
    assert [*map(len, ids.values())] == [1, 1]


def test_a_space_at_the_end_joins_the_answer():
    with pytest.raises(FuseError) as error:
        check_extractor(vocabulary("_True"), "is $ ", [], "yes_no", YES_NO)
    assert str(error.value) == (
        "the tokenizer joins the answer 'True' with the end of the extractor 'is $ ', so that no "
        "token is the answer's own; drop the white space at its end"
    )
    assert check_extractor(vocabulary("_True"), "is $", [], "yes_no", {"True": ["True"]}) == []


def test_a_sign_joins_the_answer():
    with pytest.raises(FuseError, match=r"answer 'A' with the end .* let it end in a colon"):
        check_extractor(vocabulary("$A"), "is $", [], "choice", LETTERS)
    assert check_extractor(vocabulary("$A", "_A"), "is:", [], "choice", {"A": ["A"]}) == []


def test_answers_of_one_first_token_are_told():
    assert check_extractor(vocabulary("_A", "_B"), "is:", [], "choice", LETTERS) == []
    assert check_extractor(vocabulary(), "is:", [], "choice", LETTERS) == [["A", "B"]]
    assert check_extractor(vocabulary(), "is:", ["12", "7"], "number") == [["12", "7"]]


def test_words_of_one_label_may_begin_alike():
    labels = {"good": ["great", "grand"], "bad": ["awful"]}
    assert check_extractor(vocabulary("_gr", "_a"), "is:", [], "word", labels) == []


@pytest.mark.parametrize(
    ("answers", "kind", "labels", "line"),
    [
        (
            ["several"],
            "number",
            {},
            "the answer 'several' behind .* is read as None by the kind 'number'",
        ),
        (
            ["Paris now"],
            "choice",
            LETTERS,
            "is read as None by the kind 'choice'; give data.answer",
        ),
        (
            [],
            "number",
            {"1": ["red"]},
            "the answer 'red' of '1' behind the extractor 'is:' is read",
        ),
    ],
)
def test_answers_are_found_in_their_own_text(answers, kind, labels, line):
    with pytest.raises(FuseError, match=line):
        check_extractor(vocabulary(), "is:", answers, kind, labels)


def test_signs_that_the_vocabulary_lacks():
    known = {"is:": 0, "a": 1, "?": 2}
    tokenizer = Tokenizer(models.WordLevel(vocab=known, unk_token="?"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    words = Vocabulary(PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="?"))
    with pytest.raises(FuseError, match="has no token for the answer 'é'"):
        check_extractor(words, "is:", ["a", "é"], "word")
