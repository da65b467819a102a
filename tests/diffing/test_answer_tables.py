import json

import pytest

from fuse_lightning.diffing.answer_tables import read_answers
from fuse_lightning.diffing.paired_texts import PairedTexts
from fuse_lightning.errors import FuseError

ROWS = 'q1,"yes, so",no\nq2,a,b\nq1,yes,\n'
EXPECTED = PairedTexts(("q1", "q2"), (("yes, so", "yes"), ("a",)), (("no",), ("b",)))


@pytest.mark.parametrize(
    ("header", "given"),
    [
        ("question,answer_a,answer_b", {}),
        ("question,model_a,model_b", {}),
        ("prompt,gpt,llama", {"answer_a": "gpt", "answer_b": "llama"}),
        ("asked,model_a,other", {"question": "asked", "answer_b": "other"}),
    ],
)
def test_answers_of_a_csv(tmp_path, header, given):
    path = tmp_path / "answers.csv"
    path.write_text(f"{header}\n{ROWS}")
    assert read_answers(str(path), **given) == EXPECTED


def test_answers_of_lines(tmp_path):
    path = tmp_path / "answers.jsonl"
    rows = [("q1", "yes, so", "no"), ("q2", "a", "b"), ("q1", "yes", None)]
    names = ("question", "answer_a", "answer_b")
    path.write_text("\n".join(json.dumps(dict(zip(names, row, strict=True))) for row in rows))
    assert read_answers(str(path)) == EXPECTED


@pytest.mark.parametrize(
    ("content", "given", "words"),
    [
        ("question,x,y\nq,a,b\n", {}, "no column 'answer_a' or 'model_a'; give answer_a one of"),
        ("ask,answer_a,answer_b\nq,a,b\n", {}, "no column 'question'.*give question one of: ask"),
        ("question,answer_a,model_b\nq,a,\n", {}, "question 'q' .* has no model_b"),
        ("question,answer_a,answer_b\nq,a,\n", {}, "question 'q' .* has no answer_b"),
        ("question,answer_a,answer_b\n,a,b\n", {}, "row 1 .* has no question"),
        ("question,answer_a,answer_b\nq,a,b,c\n", {}, "more cells than the header"),
        ("question,x\nq,a\n", {"answer_a": "x", "answer_b": "x"}, "both in the column 'x'"),
    ],
)
def test_bad_tables(tmp_path, content, given, words):
    path = tmp_path / "answers.csv"
    path.write_text(content)
    with pytest.raises(FuseError, match=words):
        read_answers(str(path), **given)


def test_a_cell_that_is_no_text(tmp_path):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"question": "q", "answer_a": 5, "answer_b": "b"}')
    with pytest.raises(FuseError, match="of type int as answer_a; give a text"):
        read_answers(str(path))
