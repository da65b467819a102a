"""Rows of manifests: kinds of files, also under the name of another kind."""

import json
from pathlib import Path

import pytest

from fuse_lightning.data.manifest import read_manifest
from fuse_lightning.errors import FuseError

ROWS = [{"a": "1", "b": "x, y"}, {"a": "2", "b": "z"}]
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)
CSV = 'a,b\n1,"x, y"\n2,z\n'


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("d.jsonl", LINES),
        ("d.json", json.dumps(ROWS)),
        ("d.json", LINES),
        ("d.json", json.dumps({"canary": "x", "examples": ROWS, "tags": ["a"]})),
        ("d.json", CSV),
        ("d.json", f"\ufeff{CSV}"),
        ("d.csv", CSV),
        ("d.tsv", "a\tb\n1\tx, y\n2\tz\n"),
        ("d.TSV", 'a\tb\n1\t"x, y"\n2\tz\n'),
    ],
)
def test_same_rows(name, text):
    Path(name).write_text(text, encoding="utf-8")
    assert read_manifest(Path(name), ()) == ROWS


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("d.json", "", "Expecting value"),
        ("d.json", "{}", "it is no list of objects"),
        ("d.json", '{"a": [{"x": 1}], "b": [{"y": 2}]}', "it is no list of objects"),
        ("d.json", '[{"a": 1},', "Expecting value"),
        ("d.json", '{"a": 1}\n{"b"', "line 2 is no JSON"),
        ("d.tsv", "a,b\n1,2\n", "its header has ',' between the columns in place of a tab"),
        ("d.csv", "a\tb\n1\t2\n", r"its header has '\\t' between the columns in place of a comma"),
    ],
)
def test_faults(name, text, reason):
    Path(name).write_text(text, encoding="utf-8")
    with pytest.raises(FuseError, match=f"cannot be read: .*{reason}"):
        read_manifest(Path(name), ())
