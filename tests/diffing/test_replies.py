"""Prompts out of replies, whatever these look like."""

import json
import string
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.diffing.replies import LONGEST_REPLY, prompts_in

PROMPTS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(str.strip),
    min_size=1,
    max_size=7,
    unique_by=str.strip,
)
PLAIN = st.text(string.ascii_letters + " ,.;:'\n", max_size=40)


@pytest.mark.parametrize(
    ("reply", "texts", "dropped"),
    [
        ('["a", "b"]', ["a", "b"], 0),
        ('{"prompt 10": "j", "prompt 2": "b", "prompt 1": "a"}', ["a", "b", "j"], 0),
        ('{"prompt b": "z", "prompt 1": "a"}', ["a", "z"], 0),
        ('{"Prompt1": "a", "note": "no"}', ["a"], 0),
        ('{"1": "a", "2": "b", "why": "no"}', ["a", "b"], 0),
        ('{"prompts": ["a", {"prompt": "b"}, {"note": "no"}]}', ["a", "b"], 0),
        (
            'Of [7] sets {x} here is one:\n{"prompt 1": "a {b}"} Enjoy {"prompt 1": "c"}',
            ["a {b}"],
            0,
        ),
        ('```json\n{"prompt 1": "a"}\n```', ["a"], 0),
        ('{"prompt 1": "a"}\n{"prompt 2": "b"}\n', ["a", "b"], 0),
        ('{"prompt 1": "a \\"quoted\\" word", "prompt 2": "b", "prom', ['a "quoted" word', "b"], 0),
        ('{"prompt 1": "a", "prompt 2": "b",}', ["a", "b"], 0),
        ('{"prompts": ["a", "b", "c', ["a", "b"], 0),
        ('["a", "b" "c"', ["a"], 0),
        ('{"prompt 1": "path C:\\dir", "prompt 2": "b"}', ["path C:\\dir", "b"], 0),
        ('{"prompt 1": "two\nlines"}', ["two\nlines"], 0),
        ("1. a\n2) b\n  - c\n• d\n* e\nPrompt 3: f\n**4.** g\nnothing", [*"abcdefg"], 0),
        ('1. "a"\n2. **b**\n3. `c`\n4. “d”', [*"abcd"], 0),
        ("3.14 is a number\nno list", [], 0),
        ('["a", 1, null, true, "", "  ", "a", " a ", "b"]', ["a", "b"], 7),
        ('["\\ud800", "\\ud83d\\ude00"]', ["😀"], 1),
        ('<think>["no"]</think>["a"]', ["a"], 0),
        ('I thought ["no"]</think>["a"]', ["a"], 0),
        ('<think>["no"', [], 0),
        ('{"answer": "a"}', [], 0),
        ('"a"', [], 0),
        ("", [], 0),
        ("I cannot help with that.", [], 0),
    ],
)
def test_forms_of_replies(reply, texts, dropped):
    found = prompts_in(reply)
    assert (list(found.texts), found.dropped) == (texts, dropped)


def test_long_prompts_are_dropped():
    found = prompts_in(json.dumps(["a" * 11, "b" * 10]), longest=10)
    assert (found.texts, found.dropped) == (("b" * 10,), 1)


@given(PROMPTS, PLAIN, PLAIN, st.booleans(), st.booleans())
def test_whole_json_is_read_exactly(prompts, before, behind, listed, ascii_only):
    value = prompts if listed else {f"prompt {n}": text for n, text in enumerate(prompts, 1)}
    reply = f"{before}{json.dumps(value, ensure_ascii=ascii_only)}{behind}"
    found = prompts_in(reply)
    assert list(found.texts) == [text.strip() for text in prompts]
    assert found.dropped == 0


@given(PROMPTS, st.data())
def test_of_cut_json_the_whole_strings_are_kept(prompts, data):
    whole = json.dumps({f"prompt {n}": text for n, text in enumerate(prompts, 1)})
    cut = data.draw(st.integers(0, len(whole) - 1))
    kept = [
        text.strip()
        for n, text in enumerate(prompts, 1)
        if len(json.dumps({f"prompt {m}": prompts[m - 1] for m in range(1, n + 1)})) - 1 <= cut
    ]
    assert list(prompts_in(whole[:cut]).texts) == kept


@given(st.text(st.sampled_from('[]{}":,\\ \n\tabc1.-*promt<think>/“'), max_size=200))
def test_any_reply_gives_usable_texts(reply):
    for text in prompts_in(reply, longest=50).texts:
        assert text == text.strip()
        assert 0 < len(text) <= 50
        text.encode()


@pytest.mark.parametrize(
    "part",
    ["[", "{", '{"a":', '\\"', '"', "\n", " ", "1", "<think>", "</think", '["', '"a" ', "- "],
)
def test_no_reply_takes_long(part):
    """The square of this length would take minutes."""
    began = time.monotonic()
    prompts_in((part * LONGEST_REPLY)[:LONGEST_REPLY])
    prompts_in('{"' + part * LONGEST_REPLY)
    assert time.monotonic() - began < 20
