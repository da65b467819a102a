import pytest

from fuse_lightning.diffing.features import (
    FORMS,
    NUMBERS,
    PhraseFeature,
    WordsFeature,
    phrase_feature,
)
from fuse_lightning.diffing.units import BEGIN, END, CutText

HAS = {
    "a numbered line": ("1. One\n2. Two", "In 1999. So"),
    "a line with a bullet": ("All:\n- one", "well - so"),
    "a heading": ("## Part", "#tag"),
    "a fence of code": ("```python\nx\n```", "a ``` b"),
    "code within a line": ("call `f(x)` now", "```x```"),
    "bold text": ("**so**", "2 ** 3"),
    "a row of a table": ("| a | b |", "a | b"),
    "a blank line": ("a\n\nb", "a\nb\n\n\t"),
    "more than one line": ("a\nb", "a\n\n"),
    "a link": ("see https://a.org", "http"),
    "a question mark": ("So?", "So"),
    "an exclamation mark": ("So!", "So"),
    "a comma": ("so, no", "so"),
    "a colon": ("so:", "so"),
    "a semicolon": ("so;", "so"),
    "a long dash": ("so — no", "so - no"),
    "an ellipsis": ("so...", "so.."),
    "quotation marks": ('"so"', "it's"),
    "parentheses": ("(so)", "so"),
    "a digit": ("4", "four"),
    "a word in capitals": ("the USA", "I am Al"),
    "an emoji": ("so 😀", "so :) 5 #"),
    "no full stop at its end": ("so and", "so. "),
    "a small letter at its beginning": (" so", "So"),
    "Latin letters": ("é", "я5"),
    "Cyrillic letters": ("я", "e"),
    "Greek letters": ("ω", "w"),
    "Han letters": ("山", "や"),
    "Hiragana letters": ("や", "山"),
    "Hangul letters": ("한", "山"),
    "Arabic letters": ("ب", "e"),
    "Hebrew letters": ("א", "e"),
    "Devanagari letters": ("क", "e"),
    "Bengali letters": ("ক", "e"),
    "Tamil letters": ("க", "e"),
    "Thai letters": ("ก", "e"),
}
COUNTS = {
    "words": 9,
    "sentences": 3,
    "lines": 2,
    "words a sentence": 3,
    "letters a word": 24 / 9,
    "% different words": 100 * 8 / 9,
    "% capitals": 100 * 3 / 27,
    "% digits": 100 * 1 / 27,
    "% commas": 100 * 1 / 27,
}
TEXT = "It's red, so red. He has 5!\n\nNo more"


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_forms(form):
    has, lacks = HAS[form.name]
    assert (form.value(CutText(has)), form.value(CutText(lacks))) == (1, 0)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.name)
def test_numbers(number):
    assert number.value(CutText(TEXT)) == pytest.approx(COUNTS[number.name])
    assert number.value(CutText("")) == 0


def test_names_differ():
    names = [each.name for each in (*FORMS, *NUMBERS)]
    assert len({*names}) == len(names)
    assert {*HAS} == {each.name for each in FORMS}


def test_phrases_are_spelled_as_texts_spell_them():
    texts = [CutText("Yes. So, it\nis red."), CutText("So, it is")]
    found = phrase_feature(("So", ",", "it"), texts)
    assert found.spelled == "So, it"
    assert [found.value(each) for each in (*texts, CutText("So it"))] == [1, 1, 0]


@pytest.mark.parametrize(
    ("units", "does"),
    [
        ((BEGIN, "so"), "begins 50 % of A's texts and 0 % of B's."),
        (("so", END), "ends 50 % of A's texts and 0 % of B's."),
        ((BEGIN, "so", END), "is all of 50 % of A's texts and 0 % of B's."),
        (("so",), "is in 50 % of A's texts and in 0 % of B's."),
    ],
)
def test_claims(units, does):
    assert PhraseFeature(units, "so").claim(0.5, 0) == f"'so' {does}"


def test_an_example_shows_what_stands_around():
    text = CutText(f"{'x ' * 100}so it is {'y ' * 100}")
    shown = PhraseFeature(("so", "it"), "so it").example(text)
    assert shown.startswith("…x x")
    assert shown.endswith("y y…")
    assert "x so it is y" in shown


def test_claims_stay_short_whatever_the_texts_hold():
    long = 20_000 * "x"
    feature = phrase_feature((long,), [CutText(f"a {long} b")])
    assert len(feature.claim(1, 0)) < 200
    assert len(feature.name) < 200
    assert len(WordsFeature((long, "y")).claim(1, 0)) < 200
    assert NUMBERS[0].claim(20_000, 3) == "A's texts have 20,000 words on average, and B's have 3."
