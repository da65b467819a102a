"""Files of scored texts."""

import json
import logging
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.decoding.scored_text import MEASURES, ScoredText, Tokens
from fuse_lightning.decoding.text_files import as_line, read_texts
from fuse_lightning.errors import FuseError

NUMBERS = st.floats(max_value=0)
WORDS = st.text(max_size=6) | st.sampled_from(["inf", "nan", "\u2028", "\r\n", "</script>", "\0"])


@st.composite
def texts(draw):
    count = draw(st.integers(0, 4))

    def row(of):
        return st.lists(of, min_size=count, max_size=count).map(tuple)

    tops = st.lists(st.tuples(WORDS, NUMBERS), max_size=3).map(tuple)
    names = st.text(max_size=5)
    tokens = Tokens(
        draw(row(WORDS)),
        draw(row(st.integers(0, 2**31))),
        draw(st.dictionaries(st.sampled_from(MEASURES), row(NUMBERS.map(abs)))),
        draw(st.dictionaries(names, row(NUMBERS), max_size=3)),
        draw(st.dictionaries(names, row(tops), max_size=3)),
    )
    return ScoredText(
        draw(WORDS),
        draw(WORDS),
        tokens,
        (draw(names), draw(names)),
        draw(st.integers(0, 9)),
        draw(st.integers(0, 9)),
        draw(st.dictionaries(names, NUMBERS, max_size=2)),
        draw(st.sampled_from(["stop", "length", "full", "given"])),
    )


@given(st.lists(texts(), max_size=3))
def test_texts_come_back_as_they_were(tmp_path_factory, given):
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    lines = [as_line(text) for text in given]
    path.write_text("".join(lines), encoding="utf-8")
    # NaN is not equal to itself; its representation is.
    assert repr(read_texts(path)) == repr(given)
    for line in lines:
        assert line.count("\n") == 1
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def sea(**changes):
    tokens = {
        "pieces": (" the", " sea"),
        "ids": (1, 2),
        "divergences": {"kl": (0.5, math.inf)},
        "log_probs": {"a": (-1.0, -2.0), "b": (-1.0, -math.inf)},
        "tops": {"a": ((("x", 0.5),), ()), "b": ((), ())},
    }
    return ScoredText("Over", " the sea", Tokens(**(tokens | changes)), ("a", "b"))


def test_a_last_line_that_is_cut_short_is_left_out(tmp_path, caplog):
    path = tmp_path / "texts.jsonl"
    line = as_line(sea())
    path.write_text(line + line[: len(line) // 2], encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert read_texts(path) == [sea()]
    assert "line 2" in caplog.text
    assert "cut short" in caplog.text


def test_whole_files_give_no_warning(tmp_path, caplog):
    path = tmp_path / "texts.jsonl"
    path.write_text(f"{as_line(sea())}\n{as_line(sea())}".rstrip("\n"), encoding="utf-8")
    assert read_texts(path) == [sea(), sea()]
    assert caplog.text == ""


def changed(place, value):
    """The line of a text with another value at one place."""
    told = json.loads(as_line(sea()))
    *way, last = place.split(".")
    part = told
    for name in way:
        part = part[name]
    part[last] = value
    return json.dumps(told)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "Expecting"),
        ("[1]", "the line is list, not dict"),
        ('{"tokens": {}}', "'pair' is missing"),
        (changed("prompt", 3), "prompt is int, not str"),
        (changed("ended", "never"), "ended is 'never'"),
        (changed("tokens.ids", [1, True]), "one of ids is bool, not int"),
        (changed("tokens.ids", [1]), "2 of pieces for 1 tokens"),
        (changed("tokens.pieces", "ab"), "pieces is str, not list"),
        (changed("tokens.divergences.kl", [0.5]), "1 of kl for 2 tokens"),
        (changed("tokens.log_probs.a", [0.5, "-1"]), "'-1' is no number"),
        (changed("tokens.log_probs.b", [0.5]), "1 of b for 2 tokens"),
        (changed("tokens.tops.a", [[["x"]], []]), "not enough values to unpack"),
        (changed("weights", [1]), "has no attribute"),
    ],
)
def test_a_line_that_is_no_text_is_named(tmp_path, line, reason):
    path = tmp_path / "texts.jsonl"
    path.write_text(f"{as_line(sea())}{line}\n{as_line(sea())}", encoding="utf-8")
    with pytest.raises(FuseError) as error:
        read_texts(path)
    assert "line 2 of" in str(error.value)
    assert "texts.jsonl" in str(error.value)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FuseError, match=r"none\.jsonl.*cannot be read"):
        read_texts(tmp_path / "none.jsonl")


def test_a_stream_that_excludes_its_text_has_an_infinite_perplexity():
    text = sea(log_probs={"a": (-2000.0, -2000.0), "b": (-1.0, -math.inf)})
    assert text.perplexity("a") == text.perplexity("b") == math.inf
