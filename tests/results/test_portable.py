"""Prompts in the formats of other tools: they load, and hold what the model reads."""

import json
import re

import jinja2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.results.portable import (
    FILES,
    MOST_TESTS,
    Part,
    Portable,
    files,
    nunjucks,
    safe_name,
    template,
)

FORM = [Part(name="prompt"), Part(text=" "), Part(name="text"), Part(text=" It was")]
WORDS = {"negative": ["sad", "awful"], "positive": ["happy"]}
EXAMPLES = [
    {"text": "two red boxes", "label": "negative"},
    {"text": "a star\nin the sky: 'é'", "label": "positive"},
]
TEXTS = st.text("ab {}%#\n'\"\\", max_size=12)


def made(**changes):
    given = {"prompt": "mood:", "form": FORM, "turns": None, "words": WORDS, "examples": EXAMPLES}
    return Portable(**{**given, **changes})


def loaded(found):
    return yaml.safe_load(files(found)["promptfoo.yaml"])


def rendered(source, **fields):
    environment = jinja2.Environment(keep_trailing_newline=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(source).render(fields)


@given(TEXTS, TEXTS, TEXTS, TEXTS)
def test_templates_give_the_text_that_the_model_reads(prompt, before, between, text):
    parts = [Part(before), Part(name="prompt"), Part(between), Part(name="text")]
    whole = before + prompt + between + text
    assert template(parts, prompt).format(text=text) == whole
    assert rendered(nunjucks(parts, prompt), text=text) == whole


@given(TEXTS, TEXTS)
def test_promptfoo_takes_no_part_of_a_prompt_for_a_tag_cut_short_or_for_a_path(prompt, text):
    raw = loaded(made(prompt=prompt))["prompts"][0]["raw"]
    # What is in it would be read as text alone, fields included.
    assert not re.search(r"({%[^%]*$|{{[^}]*$|{#[^#]*$)", raw, re.MULTILINE)
    assert "\n" in raw
    assert rendered(raw, text=text) == f"{prompt} {text} It was"


def test_every_file_of_a_text_layout():
    found = files(made())
    assert [*found] == [*FILES]
    assert found["prompt.txt"] == "mood:"
    assert found["prompt.template.txt"] == "mood: {text} It was"
    assert json.loads(found["chat.json"]) == [{"role": "user", "content": "mood: {text} It was"}]
    assert json.loads(found["gepa.json"]) == {"system_prompt": "mood:"}


def test_the_turns_of_a_chat_stay_apart():
    turns = [("system", [Part(name="prompt")]), ("user", [Part("Text: {"), Part(name="text")])]
    form = [Part("<s>"), Part(name="prompt"), Part("\nText: {"), Part(name="text"), Part("</s>")]
    found = files(made(turns=turns, form=form, prompt='in {a} "word"'))
    messages = json.loads(found["chat.json"])
    assert [each["role"] for each in messages] == ["system", "user"]
    assert [each["content"].format(text="x}") for each in messages] == [
        'in {a} "word"',
        "Text: {x}",
    ]
    raw = json.loads(yaml.safe_load(found["promptfoo.yaml"])["prompts"][0]["raw"])
    assert [rendered(each["content"], text="x}") for each in raw] == ['in {a} "word"', "Text: {x}"]
    assert found["prompt.template.txt"].format(text="x") == '<s>in {a} "word"\nText: {x</s>'


def test_dspy_has_the_fields_in_the_order_of_the_layout_and_the_prompt_as_instructions():
    form = [Part(name="prompt"), Part(" "), Part(name="the_premise"), Part(name="hypothesis")]
    state = json.loads(files(made(form=form, examples=()))["dspy.json"])
    assert state["signature"] == {
        "instructions": "mood:",
        "fields": [
            {"prefix": "The premise:", "description": "${the_premise}"},
            {"prefix": "Hypothesis:", "description": "${hypothesis}"},
            {"prefix": "Label:", "description": "one of: sad, happy"},
        ],
    }
    assert state["demos"] == []


def test_tests_of_promptfoo_ask_for_a_word_of_the_right_class():
    tests = loaded(made())["tests"]
    assert [test["vars"] for test in tests] == [{"text": each["text"]} for each in EXAMPLES]
    assert [test["assert"] for test in tests] == [
        [{"type": "icontains-any", "value": ["sad", "awful"]}],
        [{"type": "icontains-any", "value": ["happy"]}],
    ]


def test_a_word_within_one_of_another_class_must_stand_alone():
    words = {"yes": ["kind"], "no": ["Unkind", "so so."]}
    examples = [{"text": "a", "label": "yes"}, {"text": "b", "label": "no"}]
    tests = loaded(made(words=words, examples=examples))["tests"]
    checks = {test["vars"]["text"]: test["assert"][0] for test in tests}
    assert {check["type"] for check in checks.values()} == {"regex"}
    for answer, right in ((" kind", "a"), ("kind.\n", "a"), ("Unkind", "b"), ("so so..", "b")):
        passed = [text for text, check in checks.items() if re.search(check["value"], answer)]
        assert passed == [right], answer


@pytest.mark.parametrize("text", ["{{ env }}", "a {% b", "{# c", "file:///etc/passwd", "package:x"])
def test_examples_that_promptfoo_would_not_take_as_they_are_are_left_out(text):
    examples = [{"text": text, "label": "negative"}, *EXAMPLES]
    tests = loaded(made(examples=examples))["tests"]
    assert [test["vars"]["text"] for test in tests] == [each["text"] for each in EXAMPLES]


def test_there_are_at_most_a_hundred_tests_and_none_without_test_examples():
    many = [{"text": f"star {n}", "label": "positive"} for n in range(MOST_TESTS + 20)]
    assert len(loaded(made(examples=many))["tests"]) == MOST_TESTS
    assert "&id" not in files(made(examples=many))["promptfoo.yaml"]
    assert "promptfoo.yaml" not in files(made(examples=()))


@given(st.lists(st.text(max_size=90), unique=True, max_size=8))
def test_targets_never_share_a_folder(names):
    found = [safe_name(name) for name in names]
    assert len({name.lower() for name in found}) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name) for name in found)


@pytest.mark.parametrize("name", ["", ".", "..", "../up", "a/../../b", "c:\\d", "é", "x" * 300])
def test_a_folder_of_a_target_stays_below_its_parent(name):
    found = safe_name(name)
    assert re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,72}", found)
