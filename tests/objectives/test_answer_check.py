"""Answers behind an extractor are found in their own text."""

import pytest

from fuse_lightning.data import Target
from fuse_lightning.data.answer_kinds import find
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Objective, Reasoning
from fuse_lightning.objectives.answer_check import check_read

LETTERS = {letter: [letter] for letter in "AB"}


@pytest.mark.parametrize(
    ("extractor", "kind", "words", "labels"),
    [
        ("is $", "choice", {"A": "A", "(B)": "B"}, LETTERS),
        ("is $ ", "yes_no", {"True": "True", "no": "no"}, {}),
        ("is:", "number", {"-3": "-3", "1,200": "1200", "24": "24.0"}, {}),
        ("is:", "word", {"São Tomé": "São Tomé"}, {"São Tomé": ["São Tomé"], "Oslo": ["Oslo"]}),
        ("is:", "word", {"great": "good", "awful": "bad"}, {"good": ["great"], "bad": ["awful"]}),
    ],
)
def test_answers_that_are_read_off(extractor, kind, words, labels):
    check_read(find(kind), extractor, words, labels, "one")


@pytest.mark.parametrize(
    ("kind", "words", "labels", "line"),
    [
        ("number", {"several": "several"}, {}, "'several' of target 'one' is read as None"),
        ("choice", {"Paris now": "A"}, LETTERS, "by the kind 'choice'; give data.answer another"),
        ("number", {"24": "25"}, {}, "'24' of '25' of target 'one' is read as '24'"),
    ],
)
def test_answers_that_are_not(kind, words, labels, line):
    with pytest.raises(FuseError) as error:
        check_read(find(kind), "is:", words, labels, "one")
    assert line in str(error.value)


def test_a_term_checks_the_words_of_its_labels():
    labels = {"1": ["red"], "2": ["2"]}
    target = Target(
        "one", examples=[{"question": "a box", "label": "2"}], labels=labels, answer="number"
    )
    objective = Objective([Reasoning("zoo/gpt2", max_chain_tokens=2)])
    objective.load()
    with pytest.raises(FuseError, match="'red' of '1' of target 'one' is read as None"):
        objective.set_targets([target])
