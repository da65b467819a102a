"""Guess what a table without pictures holds, for messages: which data module reads it."""

from collections.abc import Collection, Sequence

from fuse_lightning.data.labelled_columns import LABELS, TEXTS
from fuse_lightning.data.reasoning_columns import ANSWERS, QUESTIONS

TEXT_COLUMNS = frozenset(("text", "texts", "sentence", "content", "prompt", "review"))
"""Usual names of a column of texts that stand alone."""
SHARED = frozenset((*(name for group in TEXTS for name in group if name != "question"), *LABELS))
"""Names that labelled examples may have, so that they do not tell questions with answers."""


def guessed_reader(columns: Collection[str]) -> str:
    """What a table seems to hold by the names of its columns, and which data module reads it.

    Args:
        columns: Names of the columns.

    Returns:
        Words such as "it seems to hold ..., which ... reads"; empty for unknown names.

    >>> guessed_reader(["text", "label"])
    'it seems to hold labelled texts, which LabelledExamples reads (data.data)'
    >>> guessed_reader(["question", "answer"])
    'it seems to hold questions with answers, which ReasoningExamples reads (data.data)'
    >>> guessed_reader(["prompt"])
    'it seems to hold texts, which TextTargets reads from a .txt file, one a line (data.texts)'
    >>> guessed_reader(["n", "left"])
    ''
    """
    asks = _has(columns, QUESTIONS)
    labelled = _has(columns, TEXTS) and not {*LABELS}.isdisjoint(columns)
    solved = asks and not {*ANSWERS}.isdisjoint(columns)
    if solved and not (labelled and {*columns} <= SHARED):
        return "it seems to hold questions with answers, which ReasoningExamples reads (data.data)"
    if labelled:
        return "it seems to hold labelled texts, which LabelledExamples reads (data.data)"
    if not TEXT_COLUMNS.isdisjoint(columns):
        return (
            "it seems to hold texts, which TextTargets reads from a .txt file, one a line "
            "(data.texts)"
        )
    return ""


def _has(columns: Collection[str], groups: Sequence[Sequence[str]]) -> bool:
    """Whether all columns of one of the groups are there."""
    return any({*group} <= {*columns} for group in groups)
