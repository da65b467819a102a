"""Scored texts on a terminal."""

import io
import re
import sys

import pytest
from rich.console import Console

from fuse_lightning.decoding.colours import DARK, LIGHT, contrast
from fuse_lightning.decoding.terminal_text import by_divergence, coloured, legend, print_texts
from fuse_lightning.errors import FuseError
from tests.decoding.scored_texts import infinite, scored


def styles(text):
    """Text, background and underline of each part that has a style."""
    plain = text.plain
    return [
        (plain[span.start : span.end], span.style.bgcolor.name, bool(span.style.underline))
        for span in text.spans
        if span.style
    ]


def test_tokens_have_backgrounds_by_sign_and_divergence():
    text = scored([" no", " one", " b", " a"], kl=[0.0, 1.0, 4.0, 2.0], b=[-2, -2, -1, -4])
    assert styles(coloured(text)) == [
        (" one", DARK.background("even", 0.5), False),
        (" b", DARK.b, False),
        (" a", DARK.background("a", 0.5**0.5), True),
    ]
    assert styles(coloured(text, top=16.0, theme=LIGHT))[1] == (
        " b", LIGHT.background("b", 0.5), False
    )  # fmt: skip
    assert coloured(text).plain == " no one b a"


def test_the_measure_is_chosen():
    text = scored([" a", " b"], kl=[1.0, 4.0])
    assert styles(coloured(text, "js", top=1.0)) != styles(coloured(text, "kl", top=1.0))
    with pytest.raises(FuseError, match="not known"):
        coloured(text, "l2")


def test_control_characters_are_visible_and_markup_is_text():
    text = scored(["[red]", "\x1b[31m", " \n", "\u202e", "é", ""])
    assert coloured(text).plain == "[red]\\u001b[31m ↵\n\\u202eé"


def test_infinite_numbers():
    assert [each for each, _, _ in styles(coloured(infinite()))] == ["a", " c", " d"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    monkeypatch.delenv("NO_COLOR", raising=False)

    def printed(*args, stream=Terminal, **options):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", stream())
            print_texts(*args, **options)
            return sys.stdout.getvalue()

    return printed


def test_texts_are_printed_in_colour_below_a_legend(terminal):
    texts = [scored([" low"], kl=[1.0]), scored([" high"], kl=[4.0], a=[-1.0], b=[-2.0])]
    told = terminal(texts, sort=True)
    blue = ";".join(str(int(DARK.a[n : n + 2], 16)) for n in (1, 3, 5))
    assert re.search(rf"\x1b\[4;[0-9;]*48;2;{blue}m high", told)
    plain = re.sub(r"\x1b\[[0-9;]*m", "", told)
    assert plain.startswith("underlined: A (base) likelier   B (tuned) likelier   KL(A‖B) from 0")
    assert plain.index(" high") < plain.index(" low")
    assert "mean KL(A‖B) 4 nats; perplexity base 2.718, tuned 7.389; a given text" in plain


def test_nothing_but_text_where_colours_are_not_wanted(terminal, monkeypatch):
    texts = [scored([" one", " [b]two"] * 60, prompt="A [red]prompt")]
    monkeypatch.setenv("NO_COLOR", "1")
    told = terminal(texts)
    assert "\x1b" not in told
    assert f"{' one [b]two' * 60}\n" in told
    assert told.startswith("prompt 0, sample 0: A [red]prompt\n")
    assert "underlined" not in told
    monkeypatch.delenv("NO_COLOR")
    assert terminal(texts, stream=io.StringIO) == told


def test_characters_that_the_encoding_lacks_are_escaped(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", stream)
    print_texts([scored([" é", "\n"])])
    told = stream.buffer.getvalue().decode("ascii")
    assert " \\xe9" in told


def test_texts_without_a_divergence_come_last():
    empty, low, high = scored([]), scored(["a"], kl=[1.0]), scored(["a"], kl=[2.0])
    assert by_divergence([empty, low, high, infinite()], "js")[:2] == [high, low]


def test_the_legend_is_read_on_its_backgrounds():
    for theme in (LIGHT, DARK):
        for span in legend([], "kl", 1.0, theme).spans:
            assert contrast(span.style.color.name, span.style.bgcolor.name) >= 4.5
    Console(file=io.StringIO()).print(legend([scored(["a"])], "tv", 1.0))
