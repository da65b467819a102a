"""Specification files, published and own."""

import json

import pytest

from fuse_lightning.diffing.specification import (
    OWN,
    Judged,
    Specification,
    make_specification,
    read_specification,
)
from fuse_lightning.errors import FuseError

PUBLISHED = {
    "system_start": "You compare.",
    "system_loop": "Use the scores.",
    "system_end": "Be brief.",
    "user_start": "Hello.",
    "user_loop": "Tried:",
    "user_end": "Write 7 prompts as JSON.",
    "seed_demonstrations": ["a", "b"],
    "custom_selection_criterion": "Is it kind?",
    "custom_selection_criterion_yes_response": ["yes"],
    "custom_selection_criterion_no_response": ["no"],
    "custom_selection_criterion_examples": ["Kind: thanks."],
}


def test_a_published_file(tmp_path, caplog):
    path = tmp_path / "prompts.json"
    path.write_text(json.dumps(PUBLISHED))
    assert read_specification(path) == Specification(
        *("You compare.", "Use the scores.", "Be brief.", "Hello.", "Tried:"),
        *("Write 7 prompts as JSON.", ("a", "b"), "Is it kind?"),
        *(("yes",), ("no",), ("Kind: thanks.",)),
    )
    assert not caplog.text


def test_unknown_keys_are_named(caplog):
    made = make_specification({"system_strat": "a", "user_end": "b", "criterion": None}, "it")
    assert made == Specification(user_end="b")
    assert "it: unknown keys are not used: 'system_strat'" in caplog.text


@pytest.mark.parametrize("name", OWN)
def test_files_that_come_with_the_package(name, caplog):
    made = read_specification(name)
    assert not caplog.text
    assert made.criterion
    assert "{count}" in made.user_end
    assert len({*made.seed_demonstrations}) == 8
    assert {each.answer for each in made.judged} == {"yes", "no"}


def test_a_file_of_the_users_comes_before_one_of_the_package(tmp_path):
    (tmp_path / "style").write_text('{"user_end": "mine"}')
    assert read_specification("style").user_end == "mine"


def test_judgements():
    given = [{"prompt": "p", "text": "t", "answer": " Yes "}, "plain"]
    assert make_specification({"judged": given}).judged == (Judged("p", "t", "yes"), "plain")
    assert make_specification({"yes": "ja"}).yes == ("ja",)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"system_start": ["a"]}, "it: 'system_start' is a list; it must be a text"),
        ({"user_end": 7}, "it: 'user_end' is a number; it must be a text"),
        ({"seed_demonstrations": "a"}, "'seed_demonstrations' is a text; it must be a list"),
        ({"seed_demonstrations": ["a", {}]}, "item 1 of 'seed_demonstrations' is an object; it"),
        (
            {"custom_selection_criterion_no_response": [True]},
            "item 0 of 'custom_selection_criterion_no_response' is a truth value",
        ),
        ({"judged": [3]}, "item 0 of 'judged' must be a text, or an object"),
        ({"judged": [{"prompt": "a"}]}, "must be a text, or an object of prompt, text and answer"),
        ({"judged": [{"prompt": "a", "text": 1, "answer": "yes"}]}, "something else than texts"),
        ({"judged": [{"prompt": "a", "text": "b", "answer": "ok"}]}, "has the answer 'ok'"),
        ({"criterion": "a", "custom_selection_criterion": "b"}, "has both"),
        ({"criterion": " "}, "the criterion is blank"),
        ({"criterion": "a", "yes": []}, "has no word"),
        ({"criterion": "a", "no": [" "]}, "has no word"),
        ({"criterion": "a", "no": ["YES", "no"]}, "'yes' stands for both yes and no"),
    ],
)
def test_wrong_values(given, said):
    with pytest.raises(FuseError) as error:
        make_specification(given, "it")
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "is no file, nor one of facts, formatting, style"),
        ("[1]", "holds a list; give a JSON object"),
        ("{", "cannot be read: "),
        ("[" * 100_000, "cannot be read: it is nested too deep"),
        (b"\xff{}", "cannot be read: "),
        ("{}" + " " * 2**20, "it is larger than 1 MiB"),
    ],
)
def test_wrong_files(tmp_path, content, said):
    path = tmp_path / "a.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(FuseError, match=r"^specification '") as error:
        read_specification(path)
    assert said in str(error.value)


def test_a_folder_is_no_specification(tmp_path):
    with pytest.raises(FuseError, match="it is a folder, not a file"):
        read_specification(tmp_path)
