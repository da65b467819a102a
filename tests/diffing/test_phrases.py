import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.diffing.phrases import LONGEST, WORDY, common_phrases
from fuse_lightning.diffing.units import BEGIN, END, CutText


def part_of(phrase, units):
    """Whether a phrase is in units, by the definition."""
    length = len(phrase)
    return any(tuple(units[n : n + length]) == phrase for n in range(len(units) - length + 1))


def all_phrases(texts, prompts, least):
    """All phrases with enough prompts and the texts that have them, counted one by one."""
    known = {
        text.units[n : n + length]
        for text in texts
        for length in range(1, LONGEST + 1)
        for n in range(len(text.units) - length + 1)
    }
    found = {}
    for phrase in known:
        some = frozenset(n for n, text in enumerate(texts) if part_of(phrase, text.units))
        enough = len({prompts[n] for n in some}) >= least and len(some) < len(texts)
        if enough and WORDY.search("".join(phrase)):
            found[phrase] = some
    return found


short = st.lists(st.sampled_from(["a", "b", "c", "."]), max_size=9).map(" ".join)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(short, st.integers(0, 3)), min_size=1, max_size=8), st.integers(1, 3))
def test_kept_phrases_stand_for_all_that_there_are(rows, least):
    texts, prompts = [CutText(text) for text, _ in rows], [prompt for _, prompt in rows]
    found = common_phrases(texts, prompts, least)
    for phrase, some in found.items():
        assert some == {n for n, text in enumerate(texts) if part_of(phrase, text.units)}
        assert len({prompts[n] for n in some}) >= least
        # None is part of another one of the same texts.
        others = [each for each, them in found.items() if them == some and each != phrase]
        assert not any(part_of(phrase, other) for other in others)
    for phrase, some in all_phrases(texts, prompts, least).items():
        # Marks that tell nothing are not at the beginning.
        first = next(n for n, unit in enumerate(phrase) if unit == BEGIN or WORDY.search(unit))
        ends = [phrase[n:] for n in range(first + 1)]
        same = [each for each, them in found.items() if them == some]
        assert any(part_of(end, each) for end in ends for each in same)


def test_a_long_phrase_is_found_whole():
    long = "one two three four five six seven eight nine ten."
    texts = [CutText(f"{word} {long}") for word in ("red", "green", "blue", "red")]
    texts += [CutText("two three"), CutText("nothing else")]
    found = common_phrases(texts, range(6), 3)
    assert [phrase for phrase in found if len(phrase) > LONGEST] == [
        (*long.rstrip(".").split(), ".", END)
    ]
    assert ("two", "three") in found


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("", []),
        (" \n ", []),
        ("It's well-known.\n\nNo!", ["It's", "well-known", ".", "\n", "No", "!"]),
        ("**3.5** ...\x02\x1f", ["**", "3.5", "**", "..."]),
        ("我爱你", ["我", "爱", "你"]),
        ("«é» क्या", ["«", "é", "»", "क्या"]),
    ],
)
def test_units(text, units):
    assert [*CutText(text).units] == [BEGIN, *units, END]


@given(st.text(max_size=40))
def test_each_unit_has_its_place(text):
    cut = CutText(text)
    assert len(cut.spans) == len(cut.units)
    for unit, (start, end) in zip(cut.units[1:-1], cut.spans[1:-1], strict=True):
        assert text[start:end] == unit or {*text[start:end]} == {"\n"} == {unit}
    assert cut.spelled(cut.units) == text.strip()
