"""Kinds of answers by name, and a guess of the kind by the right answers."""

from collections.abc import Collection, Sequence

from fuse_lightning.data.answer_choice import Choice
from fuse_lightning.data.answer_kind import AnswerKind as AnswerKind
from fuse_lightning.data.answer_kind import Labels as Labels
from fuse_lightning.data.answer_list import ListAnswer, items
from fuse_lightning.data.answer_number import Number
from fuse_lightning.data.answer_words import Word, YesNo
from fuse_lightning.errors import FuseError

KINDS: dict[str, AnswerKind] = {
    kind.name: kind for kind in (Choice(), Number(), YesNo(), Word(), ListAnswer())
}
"""All kinds of answers by name."""
ENOUGH = 0.9
"""Least share of right answers that a guessed kind fits; the others are faults of the data."""


LONGEST_ITEM = 4
"""Most words of an item of a list; longer ones are parts of sentences."""


def _words(text: str) -> int:
    return len(text.split())


def find(name: str) -> AnswerKind:
    """Kind of answers of a name.

    Raises:
        FuseError: If there is none.

    >>> find("number").parse("3 + 4 = 7, so she has 7 apples.")
    '7'
    """
    if name not in KINDS:
        raise FuseError(f"the kind of answers {name!r} is unknown; give one of: {', '.join(KINDS)}")
    return KINDS[name]


def guess(rights: Sequence[str], labels: Collection[str] = ()) -> str:
    """Name of the kind that nine in ten right answers fit; "word" if none does.

    Args:
        rights: Right answers as they are written.
        labels: The closed label set, where one is given; it alone decides then.

    >>> guess(["(A)", "(C)"]), guess(["24", "-1,200"]), guess(["Yes", "No"])
    ('choice', 'number', 'yes_no')
    >>> guess(["valid", "invalid"]), guess(["bela, burley, milky", "a, b"])
    ('word', 'list')
    """
    given = [*labels] or [*rights]

    def fits(kept: Sequence[bool]) -> bool:
        return sum(kept) >= ENOUGH * len(kept) and bool(kept)

    for name in ("number", "yes_no"):
        if fits([KINDS[name].label(right) is not None for right in given]):
            return name
    # A small letter without brackets is a letter to find, such as the last one of a word.
    letters = [KINDS["choice"].label(right) is not None and not right.islower() for right in given]
    if fits(letters):
        return "choice"
    listed = [items(right) for right in given]
    if fits([len(each) > 1 and max(map(_words, each)) <= LONGEST_ITEM for each in listed]):
        return "list"
    return "word"
