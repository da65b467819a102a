"""Reader of labelled examples from the rows of a source."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fuse_lightning.data.labelled_classes import class_name
from fuse_lightning.data.labelled_columns import LABEL, Chosen
from fuse_lightning.data.labelled_rows import Rows
from fuse_lightning.data.labelled_splits import Labelled
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.terminal import quoted


@dataclass
class Read:
    """Examples of a source's rows.

    Attributes:
        examples: The examples, one a row.
        bad: Why rows were left out.
    """

    examples: list[Labelled] = field(default_factory=list)
    bad: list[str] = field(default_factory=list)


def read_examples(rows: Rows, chosen: Chosen, *, skip: bool) -> Read:
    """Reads all rows of a source as examples, without white space around their texts.

    Args:
        rows: The rows.
        chosen: Columns to read.
        skip: Whether a row that is no example is left out, not an error.

    Raises:
        FuseError: If there is no row, or one is no example and ``skip`` is off.
    """
    found = Read()
    names = rows.class_names.get(chosen.label, ())
    for number, row in enumerate(rows.read(chosen.columns), 1):
        try:
            found.examples.append(_example(row, chosen, names, f"row {number} of {rows.place}"))
        except FuseError as error:
            if not skip:
                raise FuseError(
                    f"{error}; mend it, or leave such rows out by data.on_error: skip"
                ) from None
            found.bad.append(str(error))
    if not found.examples:
        raise FuseError(
            f"none of {len(found.bad)} rows is an example; {found.bad[0]}"
            if found.bad
            else f"{rows.place} has no row; it needs labelled texts of two classes or more"
        )
    return found


def _example(row: Any, chosen: Chosen, names: Sequence[str], place: str) -> Labelled:
    if not isinstance(row, Mapping):
        raise FuseError(f"{place} is {quoted(row)}, no object with {chosen.label!r}")
    if None in row:
        raise FuseError(f"{place} has more cells than the header: a cell with a comma needs quotes")
    example = {
        name: _text(row.get(column), column, place) for name, column in chosen.fields.items()
    }
    cell = row.get(chosen.label)
    if _is_empty(cell):
        raise FuseError(f"{place} has an empty {chosen.label}")
    if (label := class_name(cell, names)) is None:
        raise FuseError(
            f"{place} has {quoted(cell)} as {chosen.label}, which names no class: check "
            "data.label_column"
        )
    return {**example, LABEL: unicode_text(label, chosen.label, place)}


def _text(cell: Any, column: str, place: str) -> str:
    if _is_empty(cell):
        raise FuseError(f"{place} has an empty {column}")
    if not isinstance(cell, str):
        kind = type(cell).__name__
        raise FuseError(
            f"{place} has {quoted(cell)} of type {kind} as {column}; data.text_column takes texts"
        )
    return unicode_text(cell.strip(), column, place)


def _is_empty(cell: Any) -> bool:
    return cell is None or (isinstance(cell, str) and not cell.strip())


def unicode_text(text: str, column: str, place: str) -> str:
    """The text itself.

    Raises:
        FuseError: If it is no Unicode; names the column and the place.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FuseError(f"{place} has a {column} that is no Unicode") from None
    return text
