"""Right answers of questions: their kind, their spelling and their closed label set."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from fuse_lightning.data.answer_choice import options
from fuse_lightning.data.answer_kind import AnswerKind, fold
from fuse_lightning.data.answer_kinds import find, guess
from fuse_lightning.data.labelled_classes import Words, class_words
from fuse_lightning.data.names import some
from fuse_lightning.data.reasoning_reader import Question
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.terminal import quoted

MOST_WORDS = 200
"""Most different words that are taken for a closed label set by themselves."""
LONGEST = 12
"""Most words of an answer that a model may write alike, at the median."""
LONGEST_LABEL = 4
"""Most words of a label of a set that is taken for closed by itself."""


@dataclass(frozen=True)
class Answered:
    """A question with its right answers in the spelling of their kind.

    Attributes:
        question: The question.
        label: The right answer.
        accepted: Other right answers.
    """

    question: str
    label: str
    accepted: Sequence[str] = ()

    @property
    def rights(self) -> list[str]:
        """All right answers."""
        return [self.label, *self.accepted]

    def spelled(self, spelling: Mapping[str, str]) -> "Answered":
        """The same with each right answer in its one spelling, where it has one."""
        others = [spelling.get(other, other) for other in self.accepted]
        return replace(self, label=spelling.get(self.label, self.label), accepted=others)


def kind_of(questions: Sequence[Question], given: str | None, labels: Words | None) -> AnswerKind:
    """Kind of the right answers: the given one, or one guessed from them or from the label set.

    Raises:
        FuseError: If the given kind is unknown, or none is given and most answers are long texts.
    """
    if given is not None:
        return find(given)
    rights = [question.rights[0] for question in questions]
    name = guess(rights, [str(label) for label in labels or ()])
    if name == "word" and not labels and median(len(right.split()) for right in rights) > LONGEST:
        raise FuseError(
            f"{questions[0].place} and most others have whole texts as answers, such as "
            f"{quoted(rights[0])}, which no two texts of a model match; check data.answer_column, "
            "or give data.answer the kind of answers"
        )
    texts = {fold(text) for each in questions[:100] for text in options(each.text).values()}
    # The text of an option stands for its letter.
    if name != "choice" and texts and all(fold(right) in texts for right in rights[:100]):
        name = "choice"
    return find(name)


def answered(question: Question, kind: AnswerKind) -> Answered:
    """A question with its right answers in the spelling of their kind.

    Raises:
        FuseError: If a right answer is none of this kind, or no option of the question.
    """
    listed = options(question.text) if kind.name == "choice" else {}
    letters = {fold(text): letter for letter, text in listed.items()}
    found = []
    for right in question.rights:
        label = kind.label(right) or letters.get(fold(right))
        if label is None:
            raise FuseError(
                f"{question.place} has the answer {right!r}, which is none of the kind "
                f"{kind.name!r}"
            )
        if len(listed) > 1 and label not in listed:
            raise FuseError(
                f"{question.place} has the answer {right!r}, but its question lists the options "
                f"{', '.join(listed)}"
            )
        found.append(label)
    return Answered(question.text, found[0], [*dict.fromkeys(found[1:])])


def spellings(answers: Iterable[str], kind: AnswerKind) -> dict[str, str]:
    """One spelling for all answers that are the same: the most frequent, then the first of them.

    >>> spellings(["yes", "Yes", "Yes", "no"], find("yes_no"))
    {'yes': 'Yes', 'Yes': 'Yes', 'no': 'no'}
    """
    groups = defaultdict[object, Counter[str]](Counter)
    for answer in answers:
        groups[kind.key(answer)][answer] += 1
    return {
        answer: min(group, key=lambda each: (-group[each], each))
        for group in groups.values()
        for answer in group
    }


def label_set(
    answers: Sequence[Answered],
    kind: AnswerKind,
    given: Words | None,
    closed: bool | None,
    place: str,
) -> dict[str, list[str]]:
    """Closed label set of right answers, each with its words; empty for open answers.

    Choices have the letters of all options that a question lists. By default choices and yes or no
    are closed, and so are words if they are few and short.

    Args:
        answers: All questions with right answers.
        kind: The kind of the answers.
        given: Words of each label, as they are given.
        closed: Whether answers are of a closed set; ``None`` to guess.
        place: Name of the source for errors.

    Raises:
        FuseError: If a label is unknown, has no word, or is the only one.
    """
    found = dict.fromkeys(each.label for each in answers)
    if closed is None:
        few = len(found) <= MOST_WORDS and max(len(each.split()) for each in found) <= LONGEST_LABEL
        closed = bool(given) or kind.name in ("choice", "yes_no") or (kind.name == "word" and few)
    if not closed:
        if given:
            raise FuseError("data.labels is given, but data.closed is false; leave one of them out")
        return {}
    for each in answers:
        found |= dict.fromkeys(each.accepted)
        if kind.name == "choice":
            found |= dict.fromkeys(options(each.question))
    named: Mapping[str, str | Sequence[str]] | None = given
    if given:
        named = _renamed(given, [*found], kind)
    if len(found) < 2:
        raise FuseError(
            f"{some([*found])} is the only right answer in {place}, which tells no prompts apart; "
            "check data.answer_column"
        )
    # Yes comes before no.
    order = sorted(found, key=lambda each: kind.key(each) is not True) if len(found) == 2 else ()
    names = order if kind.name == "yes_no" else ()
    return class_words(found, names, named, place, "data.answer_column")


def _renamed(given: Words, found: Sequence[str], kind: AnswerKind) -> Words:
    """Given words by the labels that their names stand for, such as those of "(A)" by "A"."""
    named: dict[str, str | Sequence[str]] = {}
    for name, words in given.items():
        # YAML makes truth values and numbers of some names.
        same = [label for label in found if kind.same(str(name), label)]
        named[same[0] if same and str(name) not in named else str(name)] = words
    return named
