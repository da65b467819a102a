"""Reader of questions with right answers from the rows of a source."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from string import ascii_uppercase
from typing import Any

from fuse_lightning.data.labelled_classes import class_name
from fuse_lightning.data.labelled_reader import unicode_text
from fuse_lightning.data.labelled_rows import Rows
from fuse_lightning.data.reasoning_columns import QuestionColumns
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.terminal import quoted

_WORKED = re.compile(r"^.*####", re.DOTALL)
"""A worked solution before the sign that announces its answer."""
SKIP = "mend it, or leave such rows out by data.on_error: skip"


@dataclass(frozen=True)
class Question:
    """One question of a source.

    Attributes:
        text: The question.
        rights: Right answers as they are written: the one that counts, then others.
        place: Name of its row in errors.
    """

    text: str
    rights: Sequence[str]
    place: str


@dataclass
class Questions:
    """Questions of a source's rows.

    Attributes:
        found: The questions, one a row.
        bad: Why rows were left out.
        starts: Start prompts that rows give.
    """

    found: list[Question] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)
    starts: list[str] = field(default_factory=list)


def read_questions(rows: Rows, columns: QuestionColumns, *, skip: bool) -> Questions:
    """Reads all rows of a source as questions, without white space around their texts.

    Args:
        rows: The rows.
        columns: Columns to read.
        skip: Whether a row that is no question with an answer is left out, not an error.

    Raises:
        FuseError: If there is no row, or one is no question and ``skip`` is off.
    """
    read = Questions()
    names = rows.class_names.get(columns.answer, ())
    for number, row in enumerate(rows.read(columns.all), 1):
        place = f"row {number} of {rows.place}"
        try:
            read.found.append(_question(row, columns, names, place))
        except FuseError as error:
            if not skip:
                raise FuseError(f"{error}; {SKIP}") from None
            read.bad.append(str(error))
            continue
        if columns.start and isinstance(start := row.get(columns.start), str) and start.strip():
            read.starts.append(start.strip())
    if not read.found:
        raise FuseError(
            f"none of {len(read.bad)} rows is a question with an answer; {read.bad[0]}"
            if read.bad
            else f"{rows.place} has no row; it needs questions with answers"
        )
    return read


def _question(row: Any, columns: QuestionColumns, names: Sequence[str], place: str) -> Question:
    if not isinstance(row, Mapping):
        raise FuseError(f"{place} is {quoted(row)}, no object with {columns.answer!r}")
    if None in row:
        raise FuseError(f"{place} has more cells than the header: a cell with a comma needs quotes")
    texts = [_text(row.get(column), column, place) for column in columns.question]
    keys: Sequence[str] = ()
    if columns.options:
        keys, listed = _options(row.get(columns.options), columns.options, place)
        texts += ["Options:", *(f"({_letter(at)}) {text}" for at, text in enumerate(listed))]
    cell = row.get(columns.answer)
    if isinstance(cell, Mapping):
        cell = cell.get("text")
    cells = [*cell] if isinstance(cell, Sequence) and not isinstance(cell, str) else [cell]
    rights = [_by_letter(each, keys) or written(each, names) for each in cells]
    if not rights or None in rights:
        what = "an empty" if cell is None or cell == "" or cell == [] else f"{quoted(cell)} as"
        raise FuseError(f"{place} has {what} {columns.answer}")
    known = [unicode_text(right, columns.answer, place) for right in rights if right is not None]
    return Question("\n".join(texts), [*dict.fromkeys(known)], place)


def _options(cell: Any, column: str, place: str) -> tuple[list[str], list[str]]:
    """Names and texts of the options of a question, from a list or a mapping of two lists.

    Raises:
        FuseError: If the cell holds no options.
    """
    names = cell.get("label") if isinstance(cell, Mapping) else None
    texts = cell.get("text") if isinstance(cell, Mapping) else cell
    if (
        not isinstance(texts, list)
        or not 2 <= len(texts) <= len(ascii_uppercase)
        or not all(isinstance(text, str) for text in texts)
    ):
        raise FuseError(
            f"{place} has {quoted(cell)} as {column}, which is no list of options; give "
            "data.options_column a column of lists of texts, or '' for none"
        )
    texts = [" ".join(unicode_text(text, column, place).split()) for text in texts]
    named = names if isinstance(names, list) and len(names) == len(texts) else []
    return [str(name) for name in named] or [_letter(at) for at in range(len(texts))], texts


def _letter(at: int) -> str:
    return ascii_uppercase[at]


def _by_letter(cell: Any, keys: Sequence[str]) -> str | None:
    """Letter of the option that a cell names, by its name or by its number from 0, or ``None``."""
    if isinstance(cell, int) and not isinstance(cell, bool) and 0 <= cell < len(keys):
        return _letter(cell)
    return _letter(keys.index(cell)) if isinstance(cell, str) and cell in keys else None


def written(cell: Any, names: Sequence[str] = ()) -> str | None:
    """Right answer that a cell holds, as it is written; ``None`` if it holds none.

    Of a worked solution what stands behind ``####`` is the answer.

    Args:
        cell: A text, a number or a truth value.
        names: Names of the answers by number, where the column holds numbers.

    >>> written("6 * 7 = <<6*7=42>>42 #### 42"), written(" (A) "), written(1, ["no", "yes"])
    ('42', '(A)', 'yes')
    >>> written(2.5), written(True), written(""), written(None)
    ('2.5', 'True', None, None)
    """
    if isinstance(cell, bool):
        return str(cell)
    if isinstance(cell, float) and not cell.is_integer():
        # NaN is an empty cell of a column of numbers.
        return repr(cell) if cell == cell else None
    if isinstance(cell, str):
        cell = _WORKED.sub("", cell)
    return class_name(cell, names)


def _text(cell: Any, column: str, place: str) -> str:
    if isinstance(cell, list) and cell and all(isinstance(part, str) for part in cell):
        cell = "\n".join(cell)
    if isinstance(cell, int | float) and not isinstance(cell, bool) and cell == cell:
        cell = str(cell)
    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise FuseError(f"{place} has an empty {column}")
    if not isinstance(cell, str):
        kind = type(cell).__name__
        raise FuseError(
            f"{place} has {quoted(cell)} of type {kind} as {column}; data.question_column takes "
            "texts"
        )
    return unicode_text(cell.strip(), column, place)
