"""Options of labelled examples reach the data module from the command line and from YAML."""

from pathlib import Path

import pytest
from jsonargparse import ActionConfigFile

from fuse_lightning.cli.texts import TextParser, attached, plain
from fuse_lightning.data import LabelledExamples, TargetDataModule
from fuse_lightning.errors import FuseError


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


def test_amounts_words_and_columns(parser):
    data = module(
        *(parser, "--data", "LabelledExamples", "--data.data", "zoo/moods"),
        *("--data.labels", "{negative: [bad, awful], positive: good}"),
        *("--data.select", "0.1", "--data.test", "100", "--data.shots", "5"),
        *("--data.text_column", "[text]"),
    )
    assert isinstance(data, LabelledExamples)
    (target,) = data.find_targets()
    assert target.labels == {"negative": ["bad", "awful"], "positive": ["good"]}
    assert [*map(len, (target.examples, target.select, target.test))] == [10, 200, 100]


@pytest.mark.parametrize("names", ["0: bad\n    1: good", "'0': bad\n    '1': good"])
def test_classes_by_number_in_yaml(parser, names):
    Path("d.csv").write_text("text,label\n" + "".join(f"t{n},{n % 2}\n" for n in range(20)))
    options = f"   data: d.csv\n   labels:\n    {names}\n"
    Path("run.yaml").write_text(f"data:\n  class_path: LabelledExamples\n  init_args:\n{options}")
    (target,) = module(parser, "--config", "run.yaml").find_targets()
    assert target.labels == {"0": ["bad"], "1": ["good"]}


def test_yes_and_no_need_quotes(parser):
    texts = "".join(f"t{n},{('yes', 'no')[n % 2]}\n" for n in range(20))
    Path("d.csv").write_text(f"text,label\n{texts}")
    words = ("--data", "LabelledExamples", "--data.data", "d.csv", "--data.labels")
    (target,) = module(parser, *words, '{"yes": "A", "no": "B"}').find_targets()
    assert target.labels == {"yes": ["A"], "no": ["B"]}
    with pytest.raises(FuseError, match=r"names the class True, which .* name one of .* in quotes"):
        module(parser, *words, '{yes: "A", no: "B"}').find_targets()
