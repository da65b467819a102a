"""Files of verdicts: read as they were written, and what is none is refused."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.verdict_files import (
    EXAMPLES,
    FILE,
    check_examples,
    read_examples,
    read_verdicts,
    write_verdicts,
)
from tests.factories.verdicts import judged

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def two():
    return {"a/b": {"gpt2": judged(0.8, 0.6, text="\x1b[31m\u2028"), "opt": judged(0.5, 0.6)}}


def test_verdicts_and_answers_are_read_as_they_were_written(two, tmp_path):
    write_verdicts(tmp_path, two)
    verdicts, broken = read_verdicts((tmp_path / FILE).read_text())
    assert not broken
    assert verdicts == {("a/b", model): each.verdict for model, each in two["a/b"].items()}
    found = read_examples((tmp_path / EXAMPLES).read_text())
    for model, each in two["a/b"].items():
        rows = found["a/b", model]
        check_examples(each.verdict, rows)
        assert [{**row.example, "label": row.label} for row in rows] == [
            row["example"] for row in each.examples
        ]
        assert [[*row.answers] for row in rows] == [row["answers"] for row in each.examples]


@pytest.mark.parametrize("name", ["target", "model", "answers", "probabilities", "example"])
def test_an_example_may_have_fields_of_any_name(two, tmp_path, name):
    one = two["a/b"]["gpt2"]
    for row in one.examples:
        row["example"][name] = "its own"
    write_verdicts(tmp_path, {"t": {"m": one}})
    rows = read_examples((tmp_path / EXAMPLES).read_text())["t", "m"]
    check_examples(one.verdict, rows)
    assert {row.example[name] for row in rows} == {"its own"}


def test_a_broken_verdict_leaves_the_others(two, tmp_path):
    write_verdicts(tmp_path, two)
    whole = json.loads((tmp_path / FILE).read_text())
    whole["a/b"]["opt"]["candidates"][0]["confusion"] = [[1, 2, 3], [4, 5, 6]]
    whole["more"] = {"opt": {"word": 10**400}}
    verdicts, broken = read_verdicts(json.dumps(whole))
    assert [*verdicts] == [("a/b", "gpt2")]
    assert "confusion of 'prompt 1' that is none of its labels" in broken["a/b", "opt"]
    assert ("more", "opt") in broken


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda score: score["confusion"][0].append(1), "none of its labels"),
        (lambda score: score["confusion"].pop(), "none of its labels"),
        (lambda score: score.update(confusion=[[-1, 61], [60, 0]]), "none of its labels"),
        (lambda score: score["confusion"][0].__setitem__(0, 10**6), "other examples than its own"),
        (lambda score: score.update(accuracy=10**400), "too large"),
    ],
)
def test_a_score_that_is_none_of_the_verdict_is_refused(two, change, message):
    data = json.loads(json.dumps(two["a/b"]["opt"].verdict.to_dict()))
    change(data["floors"][1])
    verdicts, broken = read_verdicts(json.dumps({"t": {"m": data}}))
    assert not verdicts
    assert message in broken["t", "m"]


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"a": 3}', '{"a": []}', "[" * 100_000])
def test_a_file_that_holds_no_verdicts_is_refused(text):
    with pytest.raises(ValueError, match=r"no verdicts|Expecting"):
        read_verdicts(text)


@given(st.dictionaries(st.sampled_from(["example", "target", "model", "answers"]), JSON))
def test_lines_of_another_shape_are_refused(row):
    with pytest.raises(ValueError, match="line 1 holds no answers"):
        read_examples(json.dumps(row))


def test_answers_of_another_verdict_are_refused(two):
    other = judged(0.9, 0.6)
    text = "".join(
        json.dumps({"target": "t", "model": "m", **row}) + "\n" for row in other.examples
    )
    with pytest.raises(ValueError, match="other answers than those behind the verdict"):
        check_examples(two["a/b"]["opt"].verdict, read_examples(text)["t", "m"])


def test_a_file_that_cannot_be_written_is_named(two, tmp_path):
    (tmp_path / FILE).mkdir()
    with pytest.raises(FuseError, match=r"verdict\.json' cannot be written .* fuse test --run"):
        write_verdicts(tmp_path, two)
