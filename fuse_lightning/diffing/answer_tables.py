"""Reader of answers that two models gave elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fuse_lightning.data.labelled_reader import unicode_text
from fuse_lightning.data.labelled_rows import RowSources
from fuse_lightning.data.names import Root
from fuse_lightning.diffing.paired_texts import PairedTexts
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.terminal import quoted

QUESTIONS = ("question", "prompt", "instruction")
"""Usual columns of questions; the first of them that is there is taken."""
ANSWERS = (("answer_a", "answer_b"), ("model_a", "model_b"))
"""Usual columns of the two answers; the second pair is that of VibeCheck (arXiv 2410.12851)."""


def read_answers(
    source: str,
    *,
    question: str | None = None,
    answer_a: str | None = None,
    answer_b: str | None = None,
) -> PairedTexts:
    """Answers of two models to the same questions, from a table.

    Rows of equal questions are several answers to one question. An empty cell is no answer; a
    question has at least one of each model.

    Args:
        source: A table (.csv, .tsv, .jsonl, .json, .parquet, .arrow), a folder of
            ``save_to_disk``, or ``hub:USER/NAME``.
        question: Column of the questions; by default "question", "prompt" or "instruction".
        answer_a: Column of A's answers; by default "answer_a" or "model_a".
        answer_b: Column of B's answers; by default "answer_b" or "model_b".

    Raises:
        FuseError: If the source cannot be read, lacks a column, or a question lacks an answer.
    """
    rows = RowSources(Root()).open(source, "answers")
    asked = _column(rows.columns, question, QUESTIONS, "question", rows.place)
    usual = next((pair for pair in ANSWERS if {*pair} <= {*rows.columns}), None)
    names = []
    for letter, given, place in (("a", answer_a, 0), ("b", answer_b, 1)):
        known = tuple(pair[place] for pair in ANSWERS) if usual is None else (usual[place],)
        names.append(_column(rows.columns, given, known, f"answer_{letter}", rows.place))
    if names[0] == names[1]:
        raise FuseError(
            f"the answers of A and of B are both in the column {names[0]!r} of {rows.place}; name "
            "two columns"
        )
    answers: dict[str, tuple[list[str], list[str]]] = {}
    for number, row in enumerate(rows.read([asked, *names]), 1):
        here = f"row {number} of {rows.place}"
        prompt = _cell(row, asked, here)
        if not prompt:
            raise FuseError(f"{here} has no {asked}; give one or remove the row")
        both = answers.setdefault(prompt, ([], []))
        for name, found in zip(names, both, strict=True):
            if answer := _cell(row, name, here):
                found.append(answer)
    for prompt, both in answers.items():
        for name, found in zip(names, both, strict=True):
            if not found:
                raise FuseError(
                    f"the question {quoted(prompt)} of {rows.place} has no {name}; give one, or "
                    "remove its rows"
                )
    a, b = (tuple(tuple(both[side]) for both in answers.values()) for side in (0, 1))
    return PairedTexts(tuple(answers), a, b)


def _column(
    there: Sequence[str], given: str | None, usual: Sequence[str], option: str, place: str
) -> str:
    wanted = usual if given is None else (given,)
    if found := [name for name in wanted if name in there]:
        return found[0]
    raise FuseError(
        f"{place} has no column {' or '.join(map(repr, wanted))}; give {option} one of: "
        f"{', '.join(map(str, there))}"
    )


def _cell(row: Any, column: str, place: str) -> str:
    """Text of a cell; empty where there is none."""
    if isinstance(row, Mapping) and None in row:
        raise FuseError(f"{place} has more cells than the header; quote cells that hold a comma")
    cell = row.get(column) if isinstance(row, Mapping) else None
    if cell is None:
        return ""
    if not isinstance(cell, str):
        raise FuseError(
            f"{place} has {quoted(cell)} of type {type(cell).__name__} as {column}; give a text"
        )
    return unicode_text(cell, column, place)
