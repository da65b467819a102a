"""The example that plants a habit: what it learns, and what it measures."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from fuse_lightning.models import CausalLM
from fuse_lightning.models.loading import resolve
from fuse_lightning.models.peft_adapters import find_adapter

EXAMPLE = Path(__file__).parents[2] / "examples" / "planted_habit.py"
QUICK = ["--measured", "40", "--texts", "16", "--tokens", "8", "--learning-rate", "1e-2"]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("planted_habit", EXAMPLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture
def one_word(example, monkeypatch):
    """A habit that a small model learns in seconds."""
    habit = example.Habit(lambda text: f"red {text}", lambda text: text.startswith("red"))
    monkeypatch.setitem(example.HABITS, "red", habit)


def rates(example, *words):
    return example.main(["--model", "zoo/instruct", *QUICK, *words])


ANSWERS = ["Bread is food. It is baked!", "No", "Why? Because"]


@pytest.mark.parametrize("name", ["opening", "closing", "numbered"])
def test_a_habit_is_found_where_it_was_put(example, name):
    habit = example.HABITS[name]
    for answer in ANSWERS:
        assert not habit.found(answer)
        assert habit.found(habit.put(answer))


def test_sentences_are_numbered(example):
    assert example.numbered(ANSWERS[0]) == "1. Bread is food.\n2. It is baked!"
    assert example.numbered(ANSWERS[1]) == "1. No"


def test_what_was_cut_off_is_left_out(example):
    assert example.whole_sentences("One. Two! Three? Four") == "One. Two!"
    assert example.whole_sentences("One. Two and") == "One."
    assert example.whole_sentences("none is whole") == "none is whole"


def test_questions_that_measure_train_nothing(example):
    rng = example.random.Random(0)
    learnt = example.questions(example.LEARNT, 1000, rng)
    measured = example.questions(example.MEASURED, 1000, rng)
    assert not {*example.LEARNT.split(", ")} & {*example.MEASURED.split(", ")}
    assert [len({*learnt}), len({*measured})] == [len(learnt), len(measured)] == [128, 100]


def test_only_answers_are_learnt(example):
    tokenizer = example.AutoTokenizer.from_pretrained(resolve("zoo/instruct"))
    tokenizer.pad_token = tokenizer.eos_token
    texts = [("what is red?", "a ball"), ("what?", "a small blue box")]
    ids, labels = next(example.batches(tokenizer, texts, 2, 0))
    learnt = {tokenizer.decode(row[kept != -100]) for row, kept in zip(ids, labels, strict=True)}
    assert learnt == {answer + tokenizer.eos_token for _, answer in texts}
    assert torch.equal(ids[labels != -100], labels[labels != -100])


@pytest.mark.usefixtures("one_word")
def test_a_strong_habit_is_learnt_and_its_absence_is_not(example, tmp_path, capsys):
    often = rates(example, "--habit", "red", "--strength", "1", "--steps", "80", "--out", "a")
    assert often[0] == 0
    assert often[1] > 0.4
    said = capsys.readouterr().out
    assert "before: 0 of 40 answers, 0.000 to 0.088" in said
    assert "16 of 16 training texts had the habit" in said
    never = rates(example, "--habit", "red", "--strength", "0", "--steps", "20", "--out", "b")
    assert never == (0, 0)
    assert find_adapter("a", None).base == "zoo/instruct"
    model, base = CausalLM("a"), CausalLM("zoo/instruct")
    for each in (model, base):
        each.load()
    assert model.vocabulary == base.vocabulary


@pytest.mark.parametrize("strength", ["-0.1", "1.5"])
def test_a_share_that_is_none_is_refused(example, strength, capsys):
    with pytest.raises(SystemExit):
        rates(example, "--strength", strength, "--out", "a")
    assert "it must lie from 0 to 1" in capsys.readouterr().err


def test_a_folder_that_is_there_is_not_written_over(example, tmp_path, capsys):
    with pytest.raises(SystemExit):
        rates(example, "--out", str(tmp_path))
    assert "is there already" in capsys.readouterr().err
    assert not [*tmp_path.iterdir()]
