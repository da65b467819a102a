"""Prompts and given texts from files and data sets."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.decoding.prompt_sources import (
    PromptSources,
    first_tokens,
    numbered,
    read_pairs,
)
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM


def write(name, content):
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


def read(*sources, **options):
    return PromptSources(**options).read(sources)


def refused(call):
    with pytest.raises(FuseError) as caught:
        call()
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_a_text_is_a_prompt_as_it_stands():
    assert read("", " a b ", "and/or", "two\nlines.txt") == [
        "",
        " a b ",
        "and/or",
        "two\nlines.txt",
    ]


def test_a_file_has_a_prompt_a_line():
    write("a.txt", "one \r\n\n  two\x0bthree\n")
    assert read("a.txt", "four") == ["one ", "  two\x0bthree", "four"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "id,prompt\n1,one\n2,two\n"),
        ("a.jsonl", '{"id": 1, "prompt": "one"}\n{"id": 2, "prompt": "two"}\n'),
        ("a.json", '[{"prompt": "one", "text": "no"}, {"prompt": "two", "text": "no"}]'),
    ],
)
def test_a_table_has_a_prompt_a_row(name, content):
    write(name, content)
    assert read(name) == ["one", "two"]
    assert read(name, limit=1) == ["one"]


def test_parquet_and_saved_data_sets_are_tables():
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"said": ["one", "two"]})
    table.to_parquet("a.parquet")
    table.save_to_disk("saved")
    datasets.DatasetDict({"test": table}).save_to_disk("split")
    assert read("a.parquet") == read("saved") == ["one", "two"]
    assert read("split", split="test", column="said", limit=1) == ["one"]
    assert "several splits" in refused(lambda: read("split"))


def test_the_zoo_has_texts():
    assert len(read("zoo/moods", limit=3)) == 3


def test_the_name_of_a_folder_that_is_no_data_set_is_a_text():
    Path("red").mkdir()
    assert read("red") == ["red"]
    assert not PromptSources().is_file("red")


def test_limits_count_over_all_sources():
    write("a.txt", "one\ntwo\n")
    assert read("zero", "a.txt", "three", limit=2) == ["zero", "one"]
    assert "limit is 0" in refused(lambda: read("a", limit=0))


def test_bad_sources_are_told_in_one_line():
    write("empty.txt", "\n \n")
    write("bytes.txt", b"\xff\xfe\x00")
    write("empty.csv", "prompt\n")
    write("two.csv", "said,heard\na,b\n")
    write("numbers.jsonl", '{"prompt": 3}\n')
    write("half.jsonl", '{"prompt": "\\ud800"}\n')
    write("a.pdf", "x")
    assert "'none.txt' cannot be read" in refused(lambda: read("none.txt"))
    assert "'none.csv' does not exist" in refused(lambda: read("none.csv"))
    assert "'empty.txt' holds no text" in refused(lambda: read("empty.txt"))
    assert "'bytes.txt' cannot be read" in refused(lambda: read("bytes.txt"))
    assert "empty" in refused(lambda: read("empty.csv"))
    assert "one of: said, heard" in refused(lambda: read("two.csv"))
    assert "no column 'felt'; give column one of: said, heard" in refused(
        lambda: read("two.csv", column="felt")
    )
    assert "row 1" in (line := refused(lambda: read("numbers.jsonl")))
    assert "'3' of type int" in line
    assert "no Unicode" in refused(lambda: read("half.jsonl"))
    assert "no Unicode" in refused(lambda: read("\udce9"))
    assert "'a.pdf' is no text or table" in refused(lambda: read("a.pdf"))
    assert "has no splits" in refused(lambda: read("two.csv", split="test"))
    assert "leave one of them out" in refused(lambda: read("hub:a/b@train", split="test"))
    assert "no prompts" in refused(lambda: read())


def test_a_split_or_column_makes_an_id_a_data_set(monkeypatch):
    asked = []

    def opened(source, revision, count=None, seed=None):
        asked.append((source, count))
        raise FuseError("no network")

    monkeypatch.setattr("fuse_lightning.data.labelled_rows.hub_table", opened)
    refused(lambda: read("a/b", split="test", limit=7))
    refused(lambda: read("a/b", column="said"))
    refused(lambda: read("hub:a/b"))
    assert asked == [("a/b@test", 7), ("a/b", None), ("a/b", None)]


def test_given_texts_may_have_prompts():
    write("a.txt", "one\ntwo\n")
    write("a.csv", "text\none\n")
    write("b.jsonl", json.dumps({"prompt": "", "text": "one", "more": 1}) + "\n")
    assert read_pairs("a.txt") == [(None, "one"), (None, "two")]
    assert read_pairs("a.csv") == [(None, "one")]
    assert read_pairs("b.jsonl") == [("", "one")]
    write("c.csv", "prompt,answer\na,b\n")
    assert "no column 'text', but prompt, answer" in refused(lambda: read_pairs("c.csv"))
    write("d.jsonl", '{"prompt": "a", "text": ""}\n')
    assert "row 1" in refused(lambda: read_pairs("d.jsonl"))


@given(st.lists(st.sampled_from(["a", "b", "", None])))
def test_equal_prompts_share_a_number(prompts):
    found = numbered([(prompt, "x") for prompt in prompts])
    assert len({*found}) == len(prompts)
    for (number, sample), prompt in zip(found, prompts, strict=True):
        alike = [n for (n, _), other in zip(found, prompts, strict=True) if other == prompt]
        assert number in alike
        if prompt is None:
            assert sample == 0
        else:
            assert {*alike} == {number}


@pytest.fixture(scope="module")
def model():
    found = CausalLM("zoo/gpt2")
    found.load()
    return found


@given(st.text(max_size=12), st.integers(1, 4))
def test_first_tokens_are_a_beginning_of_so_many_tokens(model, text, count):
    (cut,) = first_tokens([text], model, count)
    assert text.startswith(cut)
    ids = model.encode([text], special=False).rows[0]
    if len(ids) <= count:
        assert cut == text
    elif "\ufffd" not in (spelled := model.decode([ids[:count]])[0]):
        assert cut == spelled


def test_no_tokens_are_refused(model):
    assert "prompt_tokens is 0" in refused(lambda: first_tokens(["a"], model, 0))
