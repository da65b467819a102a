"""Comparison of two models: what is shown, and that nothing is shown of identical ones."""

import json
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.decoding import ContrastiveDecoder, Stream
from fuse_lightning.diffing.difference import DiffOptions, differ, differ_answers
from fuse_lightning.diffing.paired_texts import PairedTexts
from fuse_lightning.diffing.phases import Phases
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


def test_given_texts_that_are_equal_count_once(base):
    streams = [Stream(base, prefix="three big yellow stars above "), Stream(base)]
    given = [("", f"{prompt} ball {where}") for prompt in PROMPTS for where in ("above", "with")]
    options = replace(OPTIONS, samples=1, search=0)
    once, twice = (
        differ(ContrastiveDecoder(streams), PROMPTS, some, options) for some in (given, given * 2)
    )
    assert {each.kind for each in once.findings} >= {"word"}
    assert twice.findings == once.findings


def test_texts_that_were_cut_off_are_told(base):
    streams = [Stream(base, prefix="two "), Stream(base)]
    options = DiffOptions(samples=1, max_new_tokens=2, search=0)
    notes = differ(ContrastiveDecoder(streams), PROMPTS, options=options).notes
    note = next(note for note in notes if note.startswith("Lengths:"))
    assert "were cut off after 2 tokens" in note


SMALL = DiffOptions(samples=1, max_new_tokens=4, batch_size=10, search=2)
FEW = PROMPTS[::3]


class KilledError(Exception):
    """Stands for whatever ends a process."""


class Killing(Phases):
    """Ends the comparison in a phase, behind some of its parts."""

    def __init__(self, phase, parts):
        self.wanted, self.left = phase, parts

    def begin(self, phase, parts, done=0):
        self.phase = phase

    def advance(self):
        if self.phase == self.wanted:
            self.left -= 1
            if self.left == 0:
                raise KilledError


@pytest.fixture(scope="module")
def uninterrupted(base):
    seen = []
    decoder = ContrastiveDecoder([Stream(base, prefix="two "), Stream(base)])
    whole = differ(decoder, FEW, options=SMALL, seen=seen.append)
    return decoder, whole, seen


@pytest.fixture(scope="module")
def without_search(uninterrupted):
    decoder, _, seen = uninterrupted
    return differ(decoder, FEW, options=replace(SMALL, search=0), known=seen)


@settings(max_examples=4)
@given(kills=st.lists(st.integers(1, 4 * len(FEW) - 1), min_size=1, max_size=3))
def test_a_comparison_that_was_killed_goes_on_to_the_same_end(uninterrupted, without_search, kills):
    """To the last digit, which another batch would change."""
    decoder, _, seen = uninterrupted
    options = replace(SMALL, search=0)
    texts = []
    for kill in kills:
        dying = Killing("texts", kill)
        with suppress(KilledError):
            differ(decoder, FEW, options=options, seen=texts.append, known=[*texts], phases=dying)
    assert texts == seen[: len(texts)]
    rest = []
    found = differ(decoder, FEW, options=options, seen=rest.append, known=texts)
    assert [*texts, *rest] == seen
    assert found == without_search


def test_the_search_of_a_comparison_goes_on(uninterrupted, tmp_path):
    decoder, whole, seen = uninterrupted
    dying = Killing("prompts", 2)
    with pytest.raises(KilledError):
        differ(decoder, FEW, options=SMALL, known=seen, folder=tmp_path, phases=dying)
    # The last checkpoint may be cut short; the one before it counts.
    (tmp_path / "checkpoints" / "prompts-2-step=2.ckpt").write_bytes(b"cut")
    steps = []

    class Listening(Phases):
        def begin(self, phase, parts, done=0):
            steps.append((phase, done))

    for done in (1, 2):
        steps.clear()
        found = differ(decoder, FEW, options=SMALL, known=seen, folder=tmp_path, phases=Listening())
        assert found == whole
        assert steps == [("texts", len(seen)), ("tokens", 0), ("prompts", done)]
    # A search of another length begins anew, and says the same as one that knows no other.
    longer = replace(SMALL, search=3)
    assert differ(decoder, FEW, options=longer, known=seen, folder=tmp_path) == differ(
        decoder, FEW, options=longer, known=seen
    )


@pytest.mark.parametrize(
    "change",
    [{"prompt": "x"}, {"prompt_number": 99}, {"sample": 2}, {"weights": {"A": 2.0, "B": -1.0}}],
)
def test_texts_of_another_comparison_are_refused(uninterrupted, change):
    decoder, _, seen = uninterrupted
    for known in ([replace(seen[0], **change)], [seen[0], seen[0]]):
        with pytest.raises(FuseError, match="holds a text twice, or one of another comparison"):
            differ(decoder, FEW, options=SMALL, known=known)


@pytest.mark.parametrize(
    ("prompts", "texts", "message"),
    [
        (FEW[:15], (), "there are 15 prompts; give 16 or more"),
        ([*FEW, FEW[0]], (), "is given twice"),
        (FEW, [("", "a")] * 4, "1 different texts"),
        (FEW, [("", "a ball " * 500)] * 4, "too long|tokens"),
        ([*FEW[1:], " "], (), "cannot begin a search for prompts"),
        ([*FEW[1:], "a ball " * 60], (), "cannot begin a search for prompts"),
    ],
)
def test_what_cannot_be_compared_is_said_before_anything_is_written(
    uninterrupted, prompts, texts, message
):
    seen = []
    with pytest.raises(FuseError, match=message):
        differ(uninterrupted[0], prompts, texts, SMALL, seen=seen.append)
    assert seen == []


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
