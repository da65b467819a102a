"""The heat map of scored texts, as a file."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.decoding.colours import LIGHT
from fuse_lightning.decoding.scored_text import ScoredText, Tokens
from fuse_lightning.errors import FuseError
from fuse_lightning.report.heat_map import heat_map, packed, page
from tests.decoding.scored_texts import infinite, scored


def data(content):
    """What the page's script reads."""
    found = re.findall(r'<script id="data" type="application/json">(.*?)</script>', content)
    return json.loads(found[0], parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def unpacked(found, text):
    """Pieces and top tokens of a text of the page."""
    words = [found["words"][int(each)] for each in text["pieces"].split(",") if each]
    tops = {
        name: [
            [(found["words"][int(word)], float(share) / 100) for word, share in pairs]
            for place in places.split(";")
            for pairs in [list(zip(*[iter(place.split(","))] * 2, strict=True)) if place else []]
        ]
        for name, places in text["tops"].items()
    }
    return words, tops


@given(st.lists(st.text(), min_size=1, max_size=4), st.text(), st.text())
def test_any_characters_come_back_from_the_page(pieces, prompt, title):
    text = scored(pieces, prompt=prompt)
    content = page([text], title, "kl", True)
    found = data(content)
    assert found["texts"][0]["prompt"] == prompt
    words, tops = unpacked(found, found["texts"][0])
    assert words == pieces
    for name, places in text.tokens.tops.items():
        for place, told in zip(places, tops[name], strict=True):
            assert [word for word, _ in told] == [word for word, _ in place]
            assert [p for _, p in told] == pytest.approx([p for _, p in place], rel=1e-2)
    # The page's own scripts are all that there are, and none holds an end of a script.
    assert content.count("<script") == content.count("</script>") == 2
    assert not re.search("[\u2028\u2029\x00]", content)


def test_numbers_are_kept():
    found = data(page([infinite()], "", "kl", True))["texts"][0]
    assert found["divergences"]["kl"] == "Infinity,nan,1,0.5"
    assert found["logProbs"] == {
        "base": "-1,-Infinity,-Infinity,nan",
        "tuned": "-Infinity,-1,-Infinity,-1",
    }
    assert found["perplexities"] == {"base": "nan", "tuned": "Infinity"}
    assert found["means"]["kl"] == "nan"
    found = packed([scored(["a", "b"], kl=[1.23456, 2e-9], weights={"base": -0.5})])["texts"][0]
    assert found["divergences"]["kl"] == "1.235,2e-09"
    assert found["weights"] == {"base": "-0.5"}


def test_texts_without_tops_divergences_or_tokens_have_a_page():
    texts = [scored([]), ScoredText("Once", "a", Tokens(("a",), (1,)), ("A", "B"))]
    found = data(page(texts, "", "kl", True))
    assert [text["pieces"] for text in found["texts"]] == ["", "0"]


def test_each_distinct_token_is_written_once():
    few = packed([scored([" sea"] * 50, prompt=str(n)) for n in range(20)])
    assert sorted(few["words"]) == sorted([" base", " tuned", " x", " sea"])
    text = scored([f" word{n}" for n in range(200)])
    assert len(page([text], "", "kl", True)) < 1e6


def test_the_page_replaces_a_file_and_makes_its_folder(tmp_path):
    path = tmp_path / "new" / "page.html"
    for title in ("first", "second"):
        assert heat_map([scored([" a"])], path, title=title) == path
    content = path.read_text(encoding="utf-8")
    assert "<title>second</title>" in content
    assert LIGHT.a in content
    assert [each.name for each in path.parent.iterdir()] == ["page.html"]


def test_what_cannot_be_shown_or_written_is_named(tmp_path):
    with pytest.raises(FuseError, match="there are no texts"):
        heat_map([], tmp_path / "page.html")
    with pytest.raises(FuseError, match="'l2' is not known"):
        heat_map([scored([" a"])], tmp_path / "page.html", measure="l2")
    (tmp_path / "file").touch()
    with pytest.raises(FuseError, match=r"page\.html' cannot be written .*another path"):
        heat_map([scored([" a"])], tmp_path / "file" / "page.html")
