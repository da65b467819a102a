"""Log-ratios of words: tokens that cut words anyhow are added up word by word."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.decoding.scored_text import ScoredText, Tokens
from fuse_lightning.diffing.phrases import WORDY
from fuse_lightning.diffing.units import CutText
from fuse_lightning.diffing.word_ratios import LARGEST, WordTable, word_ratios


def scored(pieces, a, b, prompt=0):
    """A text of two streams, cut into the pieces."""
    log_probs = {"one": tuple(a), "other": tuple(b)}
    tokens = Tokens(tuple(pieces), tuple(range(len(pieces))), {}, log_probs)
    return ScoredText("", "".join(pieces), tokens, ("one", "other"), prompt)


def plain(text):
    """The ratios, character by character."""
    cut = CutText(text.text)
    owner = {at: n for n, (start, end) in enumerate(cut.spans) for at in range(start, end)}
    found, at = {}, 0
    for piece, a, b in zip(
        text.tokens.pieces,
        text.tokens.log_probs["one"],
        text.tokens.log_probs["other"],
        strict=True,
    ):
        where = [at + n for n, letter in enumerate(piece) if not letter.isspace()]
        if where and where[0] in owner:
            found[owner[where[0]]] = found.get(owner[where[0]], 0) + a - b
        at += len(piece)
    return [
        (cut.units[n].lower(), v) for n, v in sorted(found.items()) if WORDY.search(cut.units[n])
    ]


pieces = st.lists(
    st.tuples(
        st.sampled_from([" ", "", "a", "ly", " Love", ".", ", ", "\n", "5", "'s", "é", " -"]),
        st.integers(-8, 0),
        st.integers(-8, 0),
    ),
    max_size=12,
)


@given(pieces)
def test_ratios_are_those_of_each_character_counted(given_pieces):
    text = scored(*zip(*given_pieces, strict=True)) if given_pieces else scored((), (), ())
    told = [(place.word, place.ratio) for place in word_ratios(text)]
    assert told == plain(text)
    for place in word_ratios(text):
        assert text.text[place.start : place.end].lower() == place.word


def test_the_end_token_is_no_word():
    tokens = Tokens(("Yes", "</s>"), (1, 2), {}, {"a": (-1.0, -1.0), "b": (-2.0, -9.0)})
    text = ScoredText("", "Yes", tokens, ("a", "b"), ended="stop")
    assert [(each.word, each.ratio) for each in word_ratios(text)] == [("yes", 1.0)]


@pytest.mark.parametrize(
    ("a", "b", "ratio"),
    [(-math.inf, -math.inf, 0.0), (-math.inf, -1.0, -LARGEST), (-1.0, -math.inf, LARGEST)],
)
def test_impossible_tokens_have_finite_ratios(a, b, ratio):
    assert [each.ratio for each in word_ratios(scored(["no"], [a], [b]))] == [ratio]


def test_table_adds_up_places_behind_prompts():
    texts = [
        scored(["red", " red", " box"], [-1, -1, -1], [-2, -3, -1], prompt=7),
        scored(["box"], [-1], [-1.5], prompt=7),
        scored(["red"], [-4], [-1], prompt=9),
    ]
    table = WordTable([(text.prompt_number, word_ratios(text)) for text in texts])
    assert table.words == ["box", "red"]
    assert table.texts.tolist() == [2, 1]
    np.testing.assert_allclose(table.sums.toarray(), [[0.5, 3], [0, -3]])
    np.testing.assert_allclose(table.places.toarray(), [[2, 2], [0, 1]])
    np.testing.assert_allclose(table.ratios.toarray(), [[0.25, 1.5], [0, -3]])
    sums, places = table.behind(["red", "box"])
    assert (sums.tolist(), places.tolist()) == ([3.5, -3.0], [4.0, 1.0])
