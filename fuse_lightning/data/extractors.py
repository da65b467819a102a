"""Extractors: texts between a chain of reasoning and its answer."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from fuse_lightning.data.answer_kind import fold
from fuse_lightning.errors import FuseError

PLAIN = "\nTherefore, the final answer is:"
"""Extractor of any answer."""
PUBLISHED = "published"
"""Word that stands for the published extractor of a task."""
MOST_NAMED = 8
"""Most words that an extractor names; letters are named whatever their number."""
_FORMAT = " Therefore, the final answer (use exact format: {}) is $"
_LAST_LETTERS = {
    "date_understanding": "E",
    "disambiguation_qa": "C",
    "geometric_shapes": "J",
    "hyperbaton": "B",
    "logical_deduction_five_objects": "E",
    "movie_recommendation": "D",
    "penguins_in_a_table": "E",
    "reasoning_about_colored_objects": "R",
    "ruin_names": "D",
    "salient_translation_error_detection": "F",
    "snarks": "B",
    "temporal_sequences": "D",
    "tracking_shuffled_objects_five_objects": "E",
}
_WORDS = {
    "boolean_expressions": ("True", "False"),
    "causal_judgement": ("Yes", "No"),
    "formal_fallacies": ("valid", "invalid"),
    "navigate": ("Yes", "No"),
    "sports_understanding": ("yes", "no"),
    "web_of_lies": ("Yes", "No"),
}
_NUMBERS = {
    "multistep_arithmetic_two": "positive or negative integer",
    "object_counting": "positive integer",
}


def usual_extractor(kind: str, labels: Sequence[str]) -> str:
    r"""Extractor of a kind of answers; it names all labels of a small closed set.

    Args:
        kind: The kind.
        labels: Labels of the closed set; none for open answers.

    >>> usual_extractor("choice", ["A", "B", "C"])
    '\nTherefore, the final answer (A, B or C) is:'
    >>> usual_extractor("number", []), usual_extractor("word", [])
    ('\nTherefore, the final answer (a number) is:', '\nTherefore, the final answer is:')
    """
    said = "a number" if kind == "number" else ""
    if labels and (kind == "choice" or len(labels) <= MOST_NAMED):
        said = f"{', '.join(labels[:-1])} or {labels[-1]}"
    return PLAIN.replace(" is:", f" ({said}) is:") if said else PLAIN


def published_extractor(source: str) -> str:
    """Extractor that the published scripts of GReaTer use for a task of BIG-Bench Hard.

    It begins with the space that stands behind the chain there. They are those for Llama 3,
    without the space at the end that some have: tokenizers join it with the answer. Some name
    fewer labels than the task has. Source: arXiv 2412.09722.

    Args:
        source: Name of the task, or of a file that is called so.

    Raises:
        FuseError: If none was published.

    >>> published_extractor("bbh/snarks.csv")
    " Therefore, the final answer (use exact format: '$A' or '$B') is $"
    """
    task = PurePosixPath(source).name.partition(".")[0]
    if last := _LAST_LETTERS.get(task):
        letters = map(chr, range(ord("A"), ord(last) + 1))
        return _FORMAT.format(" or ".join(f"'${letter}'" for letter in letters))
    if words := _WORDS.get(task):
        return _FORMAT.format(" or ".join(f"'$ {word}'" for word in words))
    if number := _NUMBERS.get(task):
        text = f"use exactly this format: $NUMBER$, where NUMBER is a {number}"
        return f" Therefore, the final answer ({text}) is $"
    known = ", ".join(sorted(_LAST_LETTERS | _WORDS | _NUMBERS))
    raise FuseError(
        f"data.extractor is {PUBLISHED!r}, but none was published for {source!r}; give a text, or "
        f"name the file as one of: {known}"
    )


def answer_text(extractor: str, label: str) -> str:
    """Text of an answer as it stands behind an extractor, with a space before it or not.

    There is none behind white space, and none behind an opening sign such as ``$``, unless the
    extractor shows the label behind this sign and a space.

    >>> answer_text("the answer is:", "A"), answer_text("(use '$A' or '$B') is $", "A")
    (' A', 'A')
    >>> answer_text("(use '$ Yes' or '$ No') is $", "Yes"), answer_text("Answer: ", "A")
    (' Yes', 'A')
    """
    sign = re.search(r"(?:[$*_\"'`(\[{<#]+)\Z", extractor)
    if sign is None:
        return label if extractor[-1:].isspace() or not extractor else f" {label}"
    return f" {label}" if f"{sign[0]} {label}" in extractor else label


def unnamed(extractor: str, labels: Sequence[str]) -> list[str]:
    """Labels that an extractor leaves out, where it names others.

    >>> unnamed("the answer ($A or $B) is $", ["A", "B", "C"]), unnamed("It is:", ["A", "B"])
    (['C'], [])
    """
    text = fold(extractor)
    left = [
        name for name in labels if not re.search(rf"(?<!\w){re.escape(fold(name))}(?!\w)", text)
    ]
    return left if len(left) < len(labels) else []
