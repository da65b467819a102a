"""Columns of questions with answers: which hold the question and which the right answer."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from fuse_lightning.data.labelled_columns import NUMBERS, only_other
from fuse_lightning.errors import FuseError

QUESTION = "question"
"""Field of the question, whatever its column is called."""
ACCEPTED = "accepted"
"""Name of other right answers beside the label."""
QUESTIONS = (
    ("premises", "conclusion"),
    ("context", "question"),
    ("passage", "question"),
    ("question",),
    ("goal",),
    ("problem",),
    ("input",),
    ("query",),
    ("sentence",),
    ("text",),
)
"""Usual names of question columns; the first group that is there whole counts."""
ANSWERS = (
    "final_target",
    "answer",
    "answers",
    "answerKey",
    "final_answer",
    "target",
    "label",
    "output",
    "solution",
)
"""Usual names of the column of right answers; the first one that is there counts."""
USUAL = frozenset((*(name for group in QUESTIONS for name in group), *ANSWERS, *NUMBERS))
"""Names of which each stands for something else than the one column that is missing."""
OPTIONS = ("choices", "options")
"""Usual names of the column of the options of a question."""
START = "prompt"
"""Column of start prompts beside questions, which are no part of them."""


@dataclass(frozen=True)
class QuestionColumns:
    """Columns to read of a source of questions.

    Attributes:
        question: Columns whose texts make the question, one below the other.
        answer: Column of the right answers.
        options: Column of the options, which are put below the question; empty for none.
        start: Column of start prompts, which is left out.
        guessed: Those of the columns that were guessed.
    """

    question: Sequence[str]
    answer: str
    options: str = ""
    start: str = ""
    guessed: Collection[str] = ()

    @property
    def all(self) -> list[str]:
        """All columns to read."""
        more = [column for column in (self.options, self.start) if column]
        return [*self.question, self.answer, *more]


def usual_questions(there: Collection[str]) -> Sequence[str]:
    """Columns that usually hold questions: the first group of names that is there whole."""
    return next((group for group in QUESTIONS if {*group} <= {*there}), ())


def question_columns(
    there: Sequence[str],
    question: str | Sequence[str] | None,
    answer: str | None,
    options: str | None,
    place: str,
) -> QuestionColumns:
    """Columns of the question and of the answer: those that were given, or of usual names.

    Where all columns but one are known, the last one is what is missing.

    Args:
        there: Columns that the source has.
        question: The given question column or columns.
        answer: The given answer column.
        options: The given column of options; empty for none.
        place: Name of the source for errors.

    Raises:
        FuseError: If a column is missing, stands for two things, or cannot be guessed.

    >>> question_columns(["goal", "target", "final_target"], None, None, None, "it")
    QuestionColumns(question=('goal',), answer='final_target', options='', start='', \
guessed=['goal', 'final_target'])
    >>> question_columns(["question", "answr"], None, None, None, "it").answer
    'answr'
    """
    known = ", ".join(there)
    given = [question] if isinstance(question, str) else [*(question or [])]
    for option, columns in (
        ("question_column", given),
        ("answer_column", [answer or ""]),
        ("options_column", [options or ""]),
    ):
        if missing := [name for name in columns if name and name not in there]:
            raise FuseError(
                f"{place} has no column {missing[0]!r}; give data.{option} one of: {known}"
            )
    listed = options
    if listed is None:
        listed = next((name for name in OPTIONS if name in there and name not in given), "")
    beside = [name for name in there if name not in (listed, START)]
    right = answer or next((name for name in ANSWERS if name in there and name not in given), "")
    if not right and (questions := given or usual_questions(beside)):
        others = [name for name in beside if name not in questions]
        right = next(iter(only_other(others, USUAL)), "")
    if not right:
        raise FuseError(
            f"{place} has no column of a usual name for answers; give data.answer_column one of: "
            f"{known}"
        )
    left = [name for name in there if name not in (right, listed)]
    others = [name for name in left if name != START]
    asked = given or usual_questions(left) or only_other(others, USUAL)
    if not asked:
        raise FuseError(
            f"{place} has no column of a usual name for questions; give data.question_column one "
            f"or several of: {known}"
        )
    named = [*asked, right, *([listed] if listed else [])]
    if twice := [name for name in named if named.count(name) > 1]:
        raise FuseError(
            f"column {twice[0]!r} of {place} is named twice; give data.question_column, "
            f"data.answer_column and data.options_column different ones of: {known}"
        )
    start = START if START in left and START not in asked else ""
    guessed = [
        *([] if given else asked),
        *([] if answer else [right]),
        *([listed] if listed and options is None else []),
    ]
    return QuestionColumns(asked, right, listed, start, guessed)
