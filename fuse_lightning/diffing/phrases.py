"""Phrases that several prompts' texts have: all of them, without those that say the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import regex

from fuse_lightning.diffing.units import BEGIN, CutText, joined

Phrase = tuple[str, ...]
"""Units one behind the other."""
LONGEST = 5
"""Most units of a phrase that is counted; a longer one is found by the part of it."""
WIDEST = 24
"""Most units that a phrase grows to."""
WORDY = regex.compile(r"[\p{L}\p{N}]")


def common_phrases(
    texts: Sequence[CutText], prompts: Sequence[int], least: int
) -> dict[Phrase, frozenset[int]]:
    r"""Phrases of texts, each with the numbers of the texts that have it.

    Of phrases of which one is part of the other, and which the same texts have, only the longest
    is kept. It grows as far as the units around it are the same in all texts that have it. Marks
    at its beginning are left out where they tell nothing.

    Args:
        texts: The texts.
        prompts: Number of the prompt of each text.
        least: Fewest prompts some text of which has the phrase.

    Returns:
        Phrases with at least one word or number. Those that all texts have are left out.

    >>> texts = [CutText(text) for text in ("a red star", "one red star.", "a ball")]
    >>> {phrase: sorted(some) for phrase, some in common_phrases(texts, [0, 1, 2], 2).items()}
    {('\x02', 'a'): [0, 2], ('red', 'star'): [0, 1]}
    """
    found: dict[Phrase, frozenset[int]] = {}
    shorter: dict[Phrase, frozenset[int]] = {}
    for length in range(1, LONGEST + 1):
        longer = _longer(texts, prompts, least, length, shorter)
        found |= longer
        for phrase, some in longer.items():
            if shorter.get(phrase[:-1]) == some:
                found.pop(phrase[:-1], None)
            if shorter.get(phrase[1:]) == some:
                found.pop(phrase if _is_mark(phrase[0]) else phrase[1:], None)
        if not longer:
            break
        shorter = longer
    telling = {
        phrase: some
        for phrase, some in found.items()
        if len(some) < len(texts) and WORDY.search("".join(phrase))
    }
    return _without_parts({_grown(phrase, some, texts): some for phrase, some in telling.items()})


def _longer(
    texts: Sequence[CutText],
    prompts: Sequence[int],
    least: int,
    length: int,
    shorter: Mapping[Phrase, frozenset[int]],
) -> dict[Phrase, frozenset[int]]:
    """Phrases of one length; those of one unit less tell which can have enough prompts."""
    places: dict[Phrase, set[int]] = defaultdict(set)
    for number, text in enumerate(texts):
        units = text.units
        for start in range(len(units) - length + 1):
            phrase = units[start : start + length]
            if length == 1 or (phrase[:-1] in shorter and phrase[1:] in shorter):
                places[phrase].add(number)
    return {
        phrase: frozenset(some)
        for phrase, some in places.items()
        if len(some) >= least and len({prompts[number] for number in some}) >= least
    }


def _grown(phrase: Phrase, some: frozenset[int], texts: Sequence[CutText]) -> Phrase:
    """A phrase of full length with the units around it that all of its texts have there."""
    if len(phrase) < LONGEST:
        return phrase
    places = [(texts[number].units, texts[number].find(phrase) or 0) for number in sorted(some)]

    def alike(offset: int) -> bool:
        """Whether all texts have the same unit so far from where the phrase begins."""
        if not all(0 <= at + offset < len(units) for units, at in places):
            return False
        return len({units[at + offset] for units, at in places}) == 1

    first, last = 0, len(phrase)
    while last - first < WIDEST and alike(first - 1):
        first -= 1
    while last - first < WIDEST and alike(last):
        last += 1
    units, at = places[0]
    while first < 0 and _is_mark(units[at + first]):
        first += 1
    return units[at + first : at + last]


def _is_mark(unit: str) -> bool:
    """Whether a unit is none of a word, a number, and the beginning of a text."""
    return unit != BEGIN and not WORDY.search(unit)


def _without_parts(found: Mapping[Phrase, frozenset[int]]) -> dict[Phrase, frozenset[int]]:
    """Phrases without those that are part of another one of the same texts."""
    groups: dict[frozenset[int], list[Phrase]] = defaultdict(list)
    for phrase, some in found.items():
        groups[some].append(phrase)
    kept: set[Phrase] = set()
    for group in groups.values():
        longest: list[str] = []
        for phrase in sorted(group, key=len, reverse=True):
            own = joined(phrase)
            if not any(own in other for other in longest):
                longest.append(own)
                kept.add(phrase)
    return {phrase: some for phrase, some in found.items() if phrase in kept}
