"""Options of questions reach the data module from the command line and from YAML."""

from pathlib import Path

import pytest
from jsonargparse import ActionConfigFile

from fuse_lightning.cli.texts import TextParser, attached, plain
from fuse_lightning.data import ReasoningExamples, TargetDataModule


@pytest.fixture(scope="module")
def parser():
    parser = TextParser(exit_on_error=False)
    parser.add_argument("--config", action=ActionConfigFile)
    parser.add_lightning_class_args(TargetDataModule, "data", subclass_mode=True, required=False)
    return parser


def module(parser, *words):
    """The data module of a command line, also of the configuration that a run writes of it."""
    found = plain(parser.parse_args(attached(words)))
    Path("again.yaml").write_text(parser.dump(found, skip_none=False), encoding="utf-8")
    again = plain(parser.parse_args(["--config", "again.yaml"]))
    assert again.data == found.data
    return parser.instantiate_classes(again).data


def table():
    lines = "".join(f"q{n},{('Yes', 'No')[n % 2]}\n" for n in range(20))
    Path("d.csv").write_text(f"question,answer\n{lines}")


def test_a_file_alone(parser):
    table()
    data = module(parser, "--data", "ReasoningExamples", "--data.data", "d.csv")
    assert isinstance(data, ReasoningExamples)
    assert data.find_targets()[0].labels == {"Yes": ["Yes"], "No": ["No"]}


def test_amounts_kinds_and_texts(parser):
    table()
    data = module(
        *(parser, "--data", "ReasoningExamples", "--data.data", "d.csv", "--data.train", "4"),
        *("--data.select", "0.1", "--data.test", "6", "--data.answer", "word", "--data.seed", "3"),
        *("--data.extractor", "\nSo, it is: # no comment", "--data.closed", "false"),
        *("--data.question_column", "question"),
    )
    (target,) = data.find_targets()
    assert (target.answer, target.labels) == ("word", {})
    assert target.extractor == "\nSo, it is: # no comment"
    assert [*map(len, (target.examples, target.select, target.test))] == [4, 2, 6]
