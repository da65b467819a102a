"""Questions of the reasoning language as a table."""

import csv
from pathlib import Path

from fuse_lightning.cli.main import main
from fuse_lightning.data import ReasoningExamples
from fuse_lightning.data.labelled_rows import ZOO
from fuse_lightning.zoo.reasoning import MORE, reasoning_questions
from fuse_lightning.zoo.sums import sums_file

SUMS = ZOO["zoo/sums"]


def test_the_file_of_the_package_is_what_the_language_gives():
    assert SUMS.read_text(encoding="utf-8") == sums_file()


def test_questions_are_distinct_and_the_first_ones_the_same_whatever_the_count():
    rows = reasoning_questions(500, seed=3)
    assert len({row["question"] for row in rows}) == 500
    assert reasoning_questions(30, seed=3) == rows[:30]
    assert reasoning_questions(30) != rows[:30]


def test_labels_are_the_sums_of_the_questions():
    for row in reasoning_questions(300):
        value = None
        for sentence in row["question"].removesuffix(" .").split(" . "):
            _, verb, number, *_ = sentence.split()
            sign = 1 if verb in MORE else -1
            value = int(number) if value is None else value + sign * int(number)
            assert 0 <= value <= 12
        assert str(value) == row["label"]


def test_command_writes_questions(tmp_path):
    main(["zoo", "sums", "--out", "few.csv", "--count", "20"])
    assert SUMS.read_text(encoding="utf-8").startswith(Path("few.csv").read_text())
    main(["zoo", "sums", "--out", "other.csv", "--count", "20", "--seed", "1"])
    with open("other.csv", newline="") as file:
        assert [*csv.DictReader(file)] == reasoning_questions(20, seed=1)


def test_the_file_is_a_source_of_questions():
    data = ReasoningExamples("zoo/sums", select=10, test=10, train=10)
    (target,) = data.find_targets()
    assert (target.id, target.answer, target.labels) == ("zoo/sums", "number", {})
    assert set(reasoning_questions()[0]) <= set(target.examples[0])
