"""Headroom of labelled targets as a model of the zoo has it."""

from dataclasses import replace

import pytest
import torch

from fuse_lightning.data import Target
from fuse_lightning.evaluation.answers import Labeller
from fuse_lightning.evaluation.before import measured_headroom, narrowed, outside
from fuse_lightning.evaluation.floor_options import FloorOptions
from fuse_lightning.objectives import Classification, Objective

LABELS = {"cross": ["cross", "box"], "other": ["star", "square"]}
TEXTS = [
    f"{count} {size} {color}"
    for count in ("a", "two", "three")
    for size in ("small", "large")
    for color in ("red", "blue", "green", "yellow", "pink", "black")
]


class Poison(dict):
    """A test example, which must not be read."""

    def get(self, *_):
        raise AssertionError("a test example was read")

    __getitem__ = get


@pytest.fixture(scope="module")
def labeller():
    term = Classification("zoo/gpt2", "{prompt} {text}{answer}")
    objective = Objective([term])
    objective.load()
    return Labeller(objective, term)


def target_of(labels, tests=400, choose=True):
    """The texts with labels; the examples that choose are all of them, or the train examples."""
    rows = [{"text": text, "label": label} for text, label in zip(TEXTS, labels, strict=True)]
    train, select = (rows[:4], rows) if choose else (rows, [])
    target = Target("shapes", examples=train, select=select, labels=LABELS)
    return replace_test(target, tests)


def replace_test(target, tests):
    """The target with test examples that must not be read."""
    target.test = [Poison() for _ in range(tests)]
    return target


@pytest.fixture(scope="module")
def own_labels(labeller):
    """What the model itself answers behind the template alone."""
    target = target_of(["cross"] * len(TEXTS))
    labeller.give(replace(target, test=()))
    told = labeller.probabilities([""], target.choosing)[0].argmax(1)
    return [[*LABELS][number] for number in told]


def measured(labeller, target, most=1000):
    options = FloorOptions(stock=["shape:", "{labels}:", "the"], demonstrations=2, draws=2)
    return measured_headroom(labeller, target, options, 0, most)


def test_own_answers_are_saturated(labeller, own_labels):
    assert {*own_labels} == {*LABELS}
    room, answers = measured(labeller, target_of(own_labels))
    assert room.saturated
    assert room.reasons()[0].startswith("saturated")
    names = [floor.name for floor in room.floors]
    assert room.floors[names.index("the template alone")].accuracy == 1.0
    assert (room.examples, room.tests) == (len(TEXTS), 400)
    # Three instructions, two draws, and three prompts without words.
    assert answers == 8 * len(TEXTS)


def test_labels_without_a_pattern_are_hopeless(labeller):
    labels = [[*LABELS][number % 2] for number in range(len(TEXTS))]
    room, _ = measured(labeller, target_of(labels))
    assert room.hopeless
    assert room.majority == 0.5
    assert room.reasons()[0].startswith("no headroom")


def test_answers_that_are_mostly_right_leave_room(labeller, own_labels):
    flipped = {"cross": "other", "other": "cross"}
    labels = [flipped[own] if n % 6 == 0 else own for n, own in enumerate(own_labels)]
    room, _ = measured(labeller, target_of(labels, tests=5000))
    assert room.best.accuracy >= 1 - 6 / len(TEXTS) > room.majority
    assert room.outside < 0.5
    assert room.reasons() == []


def test_train_examples_choose_where_there_are_no_others(labeller, own_labels):
    room, _ = measured(labeller, target_of(own_labels, choose=False))
    assert room.examples == len(TEXTS)


def test_fewer_examples_are_read_of_many(labeller, own_labels):
    target = target_of(own_labels)
    room, answers = measured(labeller, target, most=10)
    assert (room.examples, answers) == (10, 80)
    few = narrowed(target, 10, seed=0)
    assert few.examples == target.examples
    assert len({example["text"] for example in few.select}) == 10
    assert narrowed(target, 10, seed=0) == few != narrowed(target, 10, seed=1)


def test_answers_are_those_of_a_plain_greedy_loop(labeller):
    model = labeller.term.model
    words = {"cross": ["star"], "other": ["a"]}
    target = replace(target_of(["cross"] * len(TEXTS)), test=(), labels=words)
    labeller.give(target)
    share, written = outside(labeller, range(6))
    wrong = []
    for text in TEXTS[:6]:
        begun = " " + text
        ids = [*model.start_ids, *model.tokenizer(begun, add_special_tokens=False).input_ids]
        length = len(ids)
        for _ in range(4):
            ids.append(int(model.module(torch.tensor([ids])).logits[0, -1].argmax()))
        told = model.tokenizer.decode(ids[length:]).strip()
        if not told.startswith(("star", "a")):
            wrong.append(told)
    assert share == len(wrong) / 6 > 0
    assert wrong[0].startswith(written.strip())
