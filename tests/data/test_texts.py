"""Texts as targets."""

import pytest

from fuse_lightning.data import TextTargets
from fuse_lightning.errors import FuseError


def test_texts_and_files_become_targets(tmp_path):
    file = tmp_path / "long.txt"
    file.write_text("A photo of a red star\n\n  Two ünï blue boxes on a/the lawn \n")
    targets = TextTargets([str(file), "a photo of a red cross"]).find_targets()
    assert [target.text for target in targets] == [
        "A photo of a red star",
        "Two ünï blue boxes on a/the lawn",
        "a photo of a red cross",
    ]
    assert [target.id for target in targets] == [
        "A photo of a red star",
        "Two ünï blue boxes on a/the lawn",
        "a photo of a red cross",
    ]
    assert len(TextTargets(str(file), limit=1).find_targets()) == 1


def test_a_mark_of_the_byte_order_is_no_text(tmp_path):
    file = tmp_path / "windows.txt"
    file.write_text("a red star\n", encoding="utf-8-sig")
    (target,) = TextTargets(str(file)).find_targets()
    assert (target.id, target.text) == ("a red star", "a red star")


def test_a_text_of_several_lines_is_one_text():
    lines = "- a red cube on the left\n- a blue ball on the right\n"
    (target,) = TextTargets(lines).find_targets()
    assert target.text == lines.strip()
    (target,) = TextTargets("all that is in\nnotes.txt").find_targets()
    assert target.text == "all that is in\nnotes.txt"


def test_texts_are_taken_as_they_stand(tmp_path):
    texts = ["- a", "# Title", "null", "1e3", "[a, b]", "a: b", "'a'", "a\u2028b", "a\x0cb", "no"]
    assert [target.text for target in TextTargets(texts).find_targets()] == texts
    (tmp_path / "a.txt").write_text("\r\n".join(texts))
    assert [target.text for target in TextTargets("a.txt").find_targets()] == texts


def test_the_same_text_twice_is_one_target(tmp_path, caplog):
    (tmp_path / "a.txt").write_text("a star\na box\n")
    targets = TextTargets(["a star", "a.txt", " a star\n"]).find_targets()
    assert [target.id for target in targets] == ["a star", "a box"]
    assert caplog.messages == ["given more than once, searched once: 'a star'"]


def test_a_long_text_is_what_its_name_is_of():
    text = "a " * 60 + "star"
    (target,) = TextTargets(text).find_targets()
    assert (target.text, target.source) == (text, text)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["a", 1000.0], "data.texts holds 1000.0, which is no text; put it in quotes"),
        ([None], "data.texts holds None, which is no text"),
        ("a\0.txt", "cannot be read"),
        ([], "data.texts is empty"),
        ("  ", "data.texts holds an empty text"),
        ("missing.txt", "text file 'missing.txt' cannot be read"),
    ],
)
def test_nothing_to_read_is_said_in_one_line(tmp_path, texts, message):
    with pytest.raises(FuseError, match=message):
        TextTargets(texts).find_targets()


def test_files_without_text_or_not_in_utf8_are_refused(tmp_path):
    for name, content in (("empty.txt", b"\n \n"), ("bytes.txt", b"\xff\xfe\x00")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FuseError, match=name):
            TextTargets(str(tmp_path / name)).find_targets()


@pytest.mark.parametrize("options", [{"limit": 0}, {"batch_size": 0}])
def test_impossible_numbers_are_refused(options):
    with pytest.raises(FuseError, match=f"data.{next(iter(options))} is 0"):
        TextTargets("a", **options)


@pytest.mark.parametrize("name", ["texts.csv", "texts.jsonl", "TEXTS.CSV"])
def test_a_table_is_not_taken_for_a_text(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("id,text\n1,a\n")
    with pytest.raises(FuseError, match=f"names the table '{name}'; give a .txt file"):
        TextTargets(name).find_targets()
    # What names no file is a text.
    assert TextTargets(f"no {name}").find_targets()[0].text == f"no {name}"
