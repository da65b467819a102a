"""Prompts for questions in the formats of other tools."""

import json
import re

import jinja2
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.data.answer_kinds import find
from fuse_lightning.results.portable import Part
from fuse_lightning.results.portable_reasoning import (
    FILES,
    TARGET,
    PortableReasoning,
    answer_pattern,
)

FORM = [Part(name="question"), Part(text=" {so} "), Part(name="prompt"), Part(text="\n")]
LIMITS = {"max_chain_tokens": 64, "max_answer_tokens": 4, "temperature": 0.0}
QUESTIONS = [
    {"question": "What is {2} + 2?", "label": "4"},
    {"question": "And 1,000 + 200?", "label": "1,200"},
]


def made(**changes):
    options = {"kind": "number", "labels": {}, "turns": None, "examples": QUESTIONS, **changes}
    given = {"form": FORM, "extractor": "\nSo:", "limits": LIMITS, **options}
    return PortableReasoning("fuse_sums", "Think {well}.", **given)


def rendered(text, example):
    options = {"undefined": jinja2.StrictUndefined, "keep_trailing_newline": True}
    return jinja2.Environment(**options).from_string(text).render(example)


def test_all_files_are_written_and_say_the_same():
    found = made().files()
    assert [*found] == [*FILES]
    assert found["prompt.txt"] == "Think {well}."
    question = QUESTIONS[0]["question"]
    whole = f"{question} {{so}} Think {{well}}.\n"
    assert found["prompt.template.txt"].format(question=question) == whole
    (message,) = json.loads(found["chat.json"])
    assert (message["role"], message["content"].format(question=question)) == ("user", whole)
    told = json.loads(found["reasoning.json"])
    assert told["template"] == found["prompt.template.txt"]
    assert (told["extractor"], told["answer"]) == ("\nSo:", "number")
    assert {name: told[name] for name in LIMITS} == LIMITS
    task = yaml.safe_load(found["lm_eval.yaml"])
    assert rendered(task["doc_to_text"], QUESTIONS[0]) == whole
    assert task["generation_kwargs"]["max_gen_toks"] == 64
    rows = [json.loads(line) for line in found["lm_eval.jsonl"].splitlines()]
    assert [rendered(task["doc_to_target"], row) for row in rows] == ["4", "1,200"]


def test_turns_of_a_chat():
    system, user = [Part(text="Be {good}.")], FORM
    task = made(turns=[("system", system), ("user", user)]).lm_eval()
    assert rendered(task["description"], {}) == "Be {good}."
    assert rendered(task["doc_to_text"], QUESTIONS[0]).startswith("What is {2} + 2? {so} Think")
    more = made(turns=[("user", user), ("assistant", system)])
    assert more.lm_eval() is None
    assert {*more.files()} == {*FILES} - {"lm_eval.yaml", "lm_eval.jsonl"}
    assert json.loads(more.files()["chat.json"])[1] == {
        "role": "assistant",
        "content": "Be {{good}}.",
    }


def test_a_task_needs_test_questions_and_answers_that_can_be_told():
    for other in (made(examples=()), made(kind="list"), made(kind="word")):
        assert "lm_eval.yaml" not in other.files()


def test_a_label_is_asked_for_by_its_first_word():
    found = made(kind="word", labels={"4": ["four", "quatre"], "1,200": ["many"]}).files()
    rows = [json.loads(line) for line in found["lm_eval.jsonl"].splitlines()]
    assert [row[TARGET] for row in rows] == ["four", "many"]


def read(kind, words, text):
    """Answer as lm-eval reads it: the last match, without what is ignored."""
    found = re.findall(answer_pattern(kind, words), text)
    if not found:
        return None
    last = found[-1] if isinstance(found[-1], str) else next(filter(None, found[-1]))
    for ignored in made().lm_eval()["metric_list"][0]["regexes_to_ignore"]:
        last = re.sub(ignored, "", last)
    return last


@given(st.integers(-(10**6), 10**6), st.sampled_from(["{:,}", "{}", "${:,}", "{:,}.00"]))
def test_numbers_are_read_as_the_package_reads_them(number, form):
    if number < 0 and "$" in form:
        return
    text = f"First 17, so the answer is {form.format(number)}."
    assert int(read("number", [], text)) == number == int(find("number").parse(text))


@pytest.mark.parametrize(
    ("kind", "words", "text", "answer"),
    [
        ("choice", [], "Not (A). A dog barks, so (C).", "C"),
        ("choice", [], "The answer is B.", "B"),
        ("choice", [], "A dog barks.", None),
        ("yes_no", [], "It is not, so No.", "No"),
        ("yes_no", ["Yes", "No"], "I know it: yes", "yes"),
        ("word", ["valid", "invalid"], "The argument is invalid.", "invalid"),
        ("word", ["New York", "York"], "It is New York", "New York"),
    ],
)
def test_answers_in_a_chain(kind, words, text, answer):
    assert read(kind, words, text) == answer
