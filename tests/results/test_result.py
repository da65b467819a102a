"""Results as they are written to files and read back."""

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.errors import FuseError
from fuse_lightning.results.export import csv_text, json_lines
from fuse_lightning.results.result import (
    SCHEMA,
    Result,
    read_results,
    read_targets,
    run_results,
)

texts = st.text(st.characters(codec="utf-8"), max_size=20)
numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 2**40)
results = st.builds(
    Result,
    target=texts,
    prompt=texts,
    ids=st.lists(counts, max_size=4),
    loss=numbers,
    losses=st.dictionaries(texts, numbers, max_size=3),
    step=counts,
    seed=counts,
    seconds=numbers,
    rank=counts,
    finished=st.booleans(),
    digest=texts,
    source=texts,
    evaluations=counts,
    tokens=counts,
    flops=numbers,
)


def result(name, prompt="a red cube", rank=1):
    return Result(name, prompt, [3, 1, 4], 1.75, {"fluency": 1.75}, 2, 0, 1.5, rank)


@given(st.lists(results, max_size=3))
def test_lines_of_json_are_read_back_exactly(rows):
    path = Path("prompts.jsonl")
    path.write_text(json_lines(rows), encoding="utf-8")
    assert read_results(path) == rows


def test_rows_that_do_not_say_what_was_used_are_read():
    old = result("a").to_dict()
    for name in ("evaluations", "tokens", "flops"):
        assert old.pop(name) == 0
    path = Path("prompts.jsonl")
    path.write_text(json.dumps(old) + "\n")
    assert read_results(path) == [result("a")]


@given(st.lists(results, min_size=1, max_size=3))
def test_a_table_has_a_row_for_each_result(rows):
    table = [*csv.DictReader(io.StringIO(csv_text(rows)))]
    assert [float(row["loss"]) for row in table] == [row.loss for row in rows]
    used = [(row["evaluations"], row["tokens"], float(row["flops"])) for row in table]
    assert used == [(str(row.evaluations), str(row.tokens), row.flops) for row in rows]
    assert [row["ids"].split() for row in table] == [[*map(str, row.ids)] for row in rows]


@pytest.mark.parametrize("prompt", ["a red cube", "ü" * 9])
def test_a_line_that_was_half_written_is_left_out(prompt):
    rows = [result("a"), result("b", prompt)]
    whole = json_lines(rows).encode()
    path = Path("prompts.jsonl")
    for end in range(whole.index(b"\n") + 1, len(whole) - 2):
        path.write_bytes(whole[:end])
        assert read_results(path) == rows[:1]


@pytest.mark.parametrize(
    ("change", "missing"), [({"rank": "1"}, ()), ({"ids": [1.5]}, ()), ({}, ("loss",))]
)
def test_a_value_of_another_type_is_no_result(change, missing):
    values = {**result("a").to_dict(), **change}
    values = {name: value for name, value in values.items() if name not in missing}
    Path("prompts.jsonl").write_text(f"{json.dumps(values)}\n" * 2)
    with pytest.raises(FuseError, match=r"line 1 of 'prompts\.jsonl' is no result; remove"):
        read_results(Path("prompts.jsonl"))


def test_results_of_single_devices_take_the_place_of_older_ones():
    Path("run").mkdir()
    old, new, other = result("a"), result("a", "a blue ball"), result("b")
    Path("run/prompts.jsonl").write_text(json_lines([old, other]))
    Path("run/prompts-rank1.jsonl").write_text(json_lines([new, result("a", "a cat", rank=2)]))
    assert run_results(Path("run")) == [new, result("a", "a cat", rank=2), other]
    assert read_targets([Path("run/prompts.jsonl")]) == {"a": [old], "b": [other]}


def test_a_folder_without_results_is_named():
    with pytest.raises(FuseError, match=r"'.' holds no prompts\.jsonl with results"):
        run_results(Path())


def test_rows_of_every_earlier_version_are_read():
    new = result("a").to_dict()
    old = {name: new[name] for name in ("target", "prompt", "ids", "loss", "losses", "step")}
    old |= {"seed": 0, "seconds": 1.5, "rank": 1, "finished": True}
    path = Path("prompts.jsonl")
    path.write_text(f"{json.dumps(old)}\n")
    assert read_results(path) == [result("a")]


@pytest.mark.parametrize("more", ["", "\n"])
def test_a_row_of_a_newer_version_says_so(more):
    row = result("a").to_dict() | {"schema": SCHEMA + 1, "mood": "good"}
    Path("prompts.jsonl").write_text(json.dumps(row) + more)
    with pytest.raises(FuseError, match=r"line 1 of 'prompts\.jsonl' .* schema 3 .* newer"):
        read_results(Path("prompts.jsonl"))
