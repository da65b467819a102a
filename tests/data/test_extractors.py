"""Extractors: the usual one of each kind, published ones, and the space before an answer."""

import pytest

from fuse_lightning.data.answer_kinds import find
from fuse_lightning.data.extractors import (
    PLAIN,
    answer_text,
    published_extractor,
    unnamed,
    usual_extractor,
)
from fuse_lightning.errors import FuseError

HEAD = " Therefore, the final answer (use exact"


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("hyperbaton", f"{HEAD} format: '$A' or '$B') is $"),
        ("BBH/disambiguation_qa.json", f"{HEAD} format: '$A' or '$B' or '$C') is $"),
        ("sports_understanding.csv", f"{HEAD} format: '$ yes' or '$ no') is $"),
        (
            "object_counting",
            f"{HEAD}ly this format: $NUMBER$, where NUMBER is a positive integer) is $",
        ),
    ],
)
def test_published(source, text):
    assert published_extractor(source) == text


def test_none_published():
    with pytest.raises(FuseError, match=r"none was published for 'a.csv'; .* one of: boolean_expr"):
        published_extractor("a.csv")


@pytest.mark.parametrize(
    ("extractor", "label", "text"),
    [
        (PLAIN, "A", " A"),
        ("is: ", "A", "A"),
        ("is:\n", "A", "A"),
        ("is $", "A", "A"),
        ("is (", "A", "A"),
        ("is **", "24", "24"),
        ("('$ Yes' or '$ No') is $", "Yes", " Yes"),
        ("('$Yes' or '$No') is $", "Yes", "Yes"),
    ],
)
def test_space_before_an_answer(extractor, label, text):
    assert answer_text(extractor, label) == text


@pytest.mark.parametrize("labels", [["A", "B"], ["Yes", "No"], ["valid", "invalid"]])
def test_usual_ones_name_all_labels(labels):
    assert unnamed(usual_extractor("word", labels), labels) == []


def test_many_letters_are_named_and_many_words_are_not():
    letters = [*"ABCDEFGHIJKLMNOPQR"]
    assert usual_extractor("choice", letters).endswith("P, Q or R) is:")
    assert usual_extractor("word", [f"word{n}" for n in range(9)]) == PLAIN


def test_a_part_of_a_word_names_no_label():
    assert unnamed("(invalid) is:", ["valid", "invalid"]) == ["valid"]


@pytest.mark.parametrize(
    ("kind", "labels"),
    [("choice", ["A", "B", "C"]), ("yes_no", ["Yes", "No"]), ("word", ["valid", "invalid"])],
)
def test_an_answer_behind_the_whole_extractor_is_found(kind, labels):
    words = {label: [label] for label in labels}
    text = usual_extractor(kind, labels)
    for label in labels:
        assert find(kind).parse(f"So we see.{text}{answer_text(text, label)}", words) == label
