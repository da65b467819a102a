"""Labelled examples for tests, and the module that reads them."""

import csv
import json
from pathlib import Path

import pytest

from fuse_lightning.data import LabelledExamples
from fuse_lightning.errors import FuseError


def rows(count=20, text="text", label="label", classes=("bad", "good")):
    """Rows of equal classes, each text once."""
    return [
        {text: f"text number {index}", label: classes[index % len(classes)]}
        for index in range(count)
    ]


def write(content, name="data.jsonl"):
    """Writes rows to a file of the kind that its name says, and gives the name."""
    if name.endswith(".csv"):
        with Path(name).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, content[0])
            writer.writeheader()
            writer.writerows(content)
    elif name.endswith(".json"):
        Path(name).write_text(json.dumps(content))
    else:
        Path(name).write_text("".join(json.dumps(row) + "\n" for row in content))
    return name


def target_of(data, **options):
    """The one target of a source, or of rows."""
    source = data if isinstance(data, str) else write(data)
    (target,) = LabelledExamples(source, **options).find_targets()
    return target


def error_of(data, **options):
    """The one line about what is wrong with a source, or with rows."""
    with pytest.raises(FuseError) as error:
        target_of(data, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def parts(target):
    """Examples of the three splits."""
    return target.examples, target.select, target.test


def all_of(target):
    """All examples of a target."""
    return [example for part in parts(target) for example in part]
