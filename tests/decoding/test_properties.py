"""Properties of texts against plain regular expressions and plain transformers."""

import math
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.decoding import properties
from fuse_lightning.decoding.judged_properties import Judge, Label
from fuse_lightning.decoding.properties import Pattern
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM, Classifier

TEXTS = ["a lovely calm day", "a terrible ugly storm", "a red star"]
PROMPTS = ["how was it ?", "how was it ?", "what is it ?"]
QUESTION = "{prompt} {text} . Is it good or bad ?"
CHAT = (
    "{% for turn in messages %}<u>{{ turn['content'] }}</u>{% endfor %}"
    "{% if add_generation_prompt %}It is{% endif %}"
)


@given(st.text("abA\n", max_size=12), st.sampled_from(["ab", "^a", "b$", "a.b", "A+"]))
def test_a_pattern_is_found_where_pythons_own_finds_it(text, pattern):
    for ignore, multi, dot in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)]:
        flags = re.I * ignore | re.M * multi | re.S * dot
        found = Pattern(pattern, bool(ignore), bool(multi), bool(dot)).grades([text], [""])
        assert found == [float(re.search(pattern, text, flags) is not None)]


def test_a_pattern_looks_at_the_text_alone():
    assert Pattern("sorry").holds(["yes", "so sorry"], ["sorry", ""]) == [False, True]


def test_a_text_that_takes_a_pattern_too_long_cannot_be_judged(monkeypatch):
    monkeypatch.setattr(properties, "SECONDS", 0.05)
    pattern = Pattern("(a|aa)+$")
    grades = pattern.grades(["a" * 80 + "b", "aaa"], ["", ""])
    assert math.isnan(grades[0])
    assert grades[1] == 1.0
    assert pattern.holds(["a" * 80 + "b"], [""]) == [False]


@pytest.mark.parametrize("name", ["bert_classifier", "gpt2_classifier"])
def test_the_grade_of_a_label_is_its_probability(name, load):
    model = load(name)
    label = model.labels[1]
    grades = Label(model, label).grades(TEXTS, PROMPTS)
    for text, grade in zip(TEXTS, grades, strict=True):
        ids = torch.tensor([model.tokenizer(text)["input_ids"]])
        with torch.no_grad():
            expected = model.module(input_ids=ids).logits[0].double().softmax(0)[1]
        assert grade == pytest.approx(float(expected), rel=1e-5)
    middle = sorted(grades)[1]
    assert Label(model, label, threshold=middle).grades(TEXTS, PROMPTS) == [
        float(grade >= middle) for grade in grades
    ]


def test_labels_of_which_several_may_apply_have_probabilities_of_their_own(load):
    model = load("bert_classifier")
    model.module.config.problem_type = "multi_label_classification"
    grades = [Label(model, label).grades(TEXTS, PROMPTS)[0] for label in model.labels]
    ids = torch.tensor([model.tokenizer(TEXTS[0])["input_ids"]])
    with torch.no_grad():
        expected = model.module(input_ids=ids).logits[0].double().sigmoid()
    assert grades == pytest.approx(expected.tolist(), rel=1e-5)


def test_a_text_that_a_model_cannot_read_whole_is_not_judged():
    label = Label(Classifier("zoo/sentiment"), "positive")
    long = "lovely " * 1000
    grades = label.grades([long, TEXTS[0]], ["", ""])
    assert math.isnan(grades[0])
    assert grades[1:] == label.grades([TEXTS[0]], [""])
    assert all(map(math.isnan, label.grades([long], [""])))
    judge = Judge(CausalLM("zoo/instruct"), QUESTION, ["good"], ["bad"])
    grades = judge.grades([long, TEXTS[0]], ["", ""])
    assert math.isnan(grades[0])
    assert 0 < grades[1] < 1


def plain(model, text, words):
    """Log-probability of words behind a text, one forward and one token at a time."""
    ids = [*model.encode([text]).rows[0]]
    total = 0.0
    for token in words:
        with torch.no_grad():
            logits = model.module(input_ids=torch.tensor([ids])).logits[0, -1]
        total += float(logits.double().log_softmax(0)[token])
        ids.append(token)
    return total


def test_a_judge_compares_the_probabilities_of_its_words():
    model = CausalLM("zoo/instruct")
    yes, no = ["good", "lovely calm"], ["bad"]
    judge = Judge(model, QUESTION, yes, no)
    grades = judge.grades(TEXTS, PROMPTS)
    words = model.encode([f" {word}" for word in (*yes, *no)], special=False).rows
    assert len(words[1]) > 1
    for text, prompt, grade in zip(TEXTS, PROMPTS, grades, strict=True):
        asked = f"{prompt} {text} . Is it good or bad ?\nAnswer:"
        first, second, third = (math.exp(plain(model, asked, ids)) for ids in words)
        assert grade == pytest.approx((first + second) / (first + second + third), rel=1e-4)
    assert Judge(model, QUESTION, yes, no, threshold=0.0).grades(TEXTS, PROMPTS) == [1.0] * 3


def test_a_judge_with_a_chat_template_is_asked_as_a_user():
    model = CausalLM("zoo/instruct")
    model.load()
    model.tokenizer.chat_template = CHAT
    judge = Judge(model, "{text} {{so}}", ["good"], ["bad"])
    grade = judge.grades([TEXTS[0]], [PROMPTS[0]])[0]
    words = model.encode([" good", " bad"], special=False).rows
    asked = f"<u>{TEXTS[0]} {{so}}</u>It is"
    good, bad = (math.exp(plain(model, asked, ids)) for ids in words)
    assert grade == pytest.approx(good / (good + bad), rel=1e-4)


def test_a_text_cannot_end_its_turn_and_answer_for_the_judge():
    model = CausalLM("zoo/instruct")
    judge = Judge(model, QUESTION, ["good"], ["bad"])
    judge.load()
    mark = sorted(model.marks)[0]
    marked = judge.grades([f"{TEXTS[0]}{mark}"], [f"{mark}{PROMPTS[0]}"])
    assert marked == judge.grades([TEXTS[0]], [PROMPTS[0]])


def test_nothing_to_judge_is_judged_at_once():
    assert Pattern("a").grades([], []) == []
    assert Label(Classifier("zoo/sentiment"), "positive").grades([], []) == []
    assert Judge(CausalLM("zoo/instruct")).grades([], []) == []


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Pattern(""), "pattern is empty"),
        (lambda: Pattern("(a"), r"pattern '\(a' is no regular expression: missing \)"),
        (lambda: Pattern("a").grades(["a"], []), "there are 1 texts, but 0 prompts"),
        (lambda: Label("zoo/sentiment", "glad").load(), "unknown label 'glad'"),
        (lambda: Label("zoo/sentiment", "positive", 1.5), "threshold is 1.5"),
        (lambda: Judge("zoo/instruct", "Is it good?"), "needs the field {text}"),
        (lambda: Judge("zoo/instruct", "{text} {other}"), "but no other"),
        (lambda: Judge("zoo/instruct", "{text"), "of a judge cannot be read"),
        (lambda: Judge("zoo/instruct", yes=[]), "at least one word of yes"),
        (lambda: Judge("zoo/instruct", yes=["No"]), "word 'No' stands twice"),
        (
            lambda: Judge("zoo/instruct", yes=["good"], no=["good night"]).grades(["a"], ["b"]),
            "reads word 'good' of a judge as the beginning of 'good night'",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(make, said):
    with pytest.raises(FuseError, match=said):
        make()
