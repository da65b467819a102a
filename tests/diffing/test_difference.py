"""Comparison of two models: what is shown, and that nothing is shown of identical ones."""

import json

import pytest

from fuse_lightning.decoding import ContrastiveDecoder, Stream
from fuse_lightning.diffing.difference import DiffOptions, differ, differ_answers
from fuse_lightning.diffing.paired_texts import PairedTexts
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM

OPENINGS = ("a picture of a {}", "a {}", "photo of a {}", "two {}", "behold a {}", "three {}")
COLOURS = ("red", "blue", "green", "yellow", "black", "white", "purple", "orange")
PROMPTS = [opening.format(colour) for opening in OPENINGS for colour in COLOURS]
OPTIONS = DiffOptions(samples=2, max_new_tokens=16, batch_size=64, search=2)


@pytest.fixture(scope="module")
def base():
    model = CausalLM("zoo/gpt2")
    model.load()
    return model


def test_identical_models_differ_in_nothing(base):
    found = differ(ContrastiveDecoder([base, base]), PROMPTS, options=OPTIONS)
    assert (found.findings, found.control) == ((), ())
    assert found.divergence.divergences["js"].value == 0
    assert len(found.texts) == 2 * OPTIONS.samples * len(PROMPTS)
    assert found.summary.startswith("No difference shown")


def test_a_prefix_is_found_in_texts_and_tokens(base):
    streams = [Stream(base, prefix="three big yellow stars above "), Stream(base)]
    seen = []
    found = differ(ContrastiveDecoder(streams), PROMPTS, options=OPTIONS, seen=seen.append)
    assert {"text", "word", "topic", "prompt"} == {each.kind for each in found.findings}
    assert found.looked["prompt"] > len(PROMPTS) / 2
    assert all(each.p <= OPTIONS.alpha / 4 for each in found.findings)
    assert found.divergence.divergences["js"].value > 0
    # A, B, amplified A and fresh A.
    assert len(seen) == 4 * OPTIONS.samples * len(PROMPTS)
    assert json.loads(json.dumps(found.to_dict()))["looked"] == found.looked


def test_given_texts_are_read_in_place_of_written_ones(base):
    streams = [Stream(base, prefix="two "), Stream(base)]
    given = [("", f"{prompt} ball") for prompt in PROMPTS]
    found = differ(ContrastiveDecoder(streams), PROMPTS, given, OPTIONS)
    assert [text.text for text in found.texts] == [text for _, text in given]
    assert any(note.startswith("Tokens: both models read 48 texts") for note in found.notes)


def test_texts_that_were_cut_off_are_told(base):
    streams = [Stream(base, prefix="two "), Stream(base)]
    options = DiffOptions(samples=1, max_new_tokens=2, search=0)
    notes = differ(ContrastiveDecoder(streams), PROMPTS, options=options).notes
    note = next(note for note in notes if note.startswith("Lengths:"))
    assert "were cut off after 2 tokens" in note


def test_answers_of_others_are_compared():
    questions = tuple(f"What is {number}?" for number in range(40))
    habit = PairedTexts(
        questions,
        a=tuple((f"It is {number}. Thank you for asking.",) for number in range(40)),
        b=tuple((f"It is {number}.",) for number in range(40)),
    )
    found = differ_answers(habit)
    assert found.findings
    assert "Thank you for asking" in found.findings[0].claim
    assert found.texts == ()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "with temperature 0"),
        ({"temperature": 0, "samples": 1}, "temperature is 0"),
        ({"alpha": 0}, "alpha is 0"),
        ({"samples": 0}, "samples is 0"),
    ],
)
def test_bad_options_are_one_line(options, message):
    with pytest.raises(FuseError, match=message):
        DiffOptions(**options)
