"""Readers of prompts, and of given texts, from the command line's sources."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuse_lightning.data.hub import HUB
from fuse_lightning.data.labelled_reader import unicode_text
from fuse_lightning.data.labelled_rows import KINDS, ZOO, RowSources
from fuse_lightning.data.names import Root
from fuse_lightning.data.tables import is_saved
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.utilities.option_names import option
from fuse_lightning.utilities.regular import read_text
from fuse_lightning.utilities.terminal import quoted

LINES = ".txt"
"""Ending of files with a text a line."""
USUAL = ("prompt", "question", "instruction", "text")
"""Columns that are taken for prompts where none is named, the first of them that is there."""
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+(:[\w.-]+)?(@.+)?")
FILES = f"{LINES}, {', '.join(KINDS)}"


@dataclass(frozen=True)
class PromptSources:
    """Reader of prompts from texts, files and data sets.

    Attributes:
        column: Column of tables that holds prompts; by default a usual name, or the only column.
        split: Split of data sets.
        limit: Most prompts that are read.
        option: Name of the option that the sources come from, for messages.
    """

    column: str | None = None
    split: str | None = None
    limit: int | None = None
    option: str = "--prompts"

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise FuseError(f"{option('limit')} is {self.limit}; give 1 or more prompts")

    def read(self, sources: Sequence[str]) -> list[str]:
        """Prompts of all sources, in order.

        A source is a data set (``hub:USER/NAME``, ``zoo/moods``, a folder of ``save_to_disk``), a
        file with a prompt a line (.txt), a table, or else a prompt itself. With a column or a split
        ``USER/NAME`` is a data set, too. Blank lines of a file count for nothing.

        Raises:
            FuseError: If a source is missing, empty, or holds something else than texts.
        """
        for name in ("column", "split"):
            if (value := getattr(self, name)) and "table" not in map(self._kind, sources):
                raise FuseError(
                    f"{option(name)} is {value!r}, and no source of prompts is a table; leave "
                    f"{option(name)} out"
                )
        found: list[str] = []
        for source in sources:
            left = None if self.limit is None else self.limit - len(found)
            if left == 0:
                break
            found += self._prompts(source, left)[:left]
        if not found:
            raise FuseError(
                f"there are no prompts; give {self.option} a text, a file or a data set"
            )
        return found

    def _prompts(self, source: str, left: int | None) -> list[str]:
        kind = self._kind(source)
        if kind == "text":
            return [checked_text(source, self.option.lstrip("-"))]
        if kind == "lines":
            return _lines(source, self.option)
        rows = RowSources(Root(), stream=left).open(self._split(source), self.option)
        column = self._column(rows.columns, rows.place)
        found = [
            _cell(row, column, f"row {number} of {rows.place}")
            for number, row in enumerate(rows.read([column])[:left], 1)
        ]
        if not found:
            raise FuseError(f"{rows.place} has no row; give one with a prompt in each")
        return found

    def is_file(self, source: str) -> bool:
        """Whether a source is a file or a folder."""
        return self._kind(source) != "text" and not source.startswith(HUB) and source not in ZOO

    def _kind(self, source: str) -> str:
        """Whether a source is "lines" of a file, a "table", or a "text"."""
        if "\n" in source or not source.strip():
            return "text"
        if source.startswith(HUB) or source in ZOO:
            return "table"
        path = Path(source)
        if path.suffix.lower() in (LINES, *KINDS):
            return "lines" if path.suffix.lower() == LINES else "table"
        if _is_folder(path):
            saved = is_saved(path) or "/" in source or self.column or self.split
            return "table" if saved else "text"
        if _is_file(path):
            raise FuseError(
                f"file {quoted(source)} is no text or table by its ending; give {self.option} "
                f"a file of {FILES}"
            )
        named = self.column is not None or self.split is not None
        return "table" if named and HUB_ID.fullmatch(source) else "text"

    def _split(self, source: str) -> str:
        """The source as :class:`RowSources` takes it, with the split."""
        path = Path(source)
        if _is_folder(path):
            return str(path / self.split) if self.split and not _is_table(path) else source
        if path.suffix.lower() in KINDS or source in ZOO:
            if self.split is not None:
                raise FuseError(
                    f"{option('split')} is {self.split!r}, and {source!r} has no splits; leave it "
                    "out"
                )
            return source
        whole = source if source.startswith(HUB) else f"{HUB}{source}"
        if self.split is None:
            return whole
        if "@" in whole:
            raise FuseError(
                f"{source!r} names a split, and {option('split')} is {self.split!r}; leave one of "
                "them out"
            )
        return f"{whole}@{self.split}"

    def _column(self, there: Sequence[str], place: str) -> str:
        if self.column is not None:
            if self.column not in there:
                raise FuseError(
                    f"{place} has no column {self.column!r}; give {option('column')} one of: "
                    f"{', '.join(there)}"
                )
            return self.column
        if usual := [name for name in USUAL if name in there]:
            return usual[0]
        if len(there) == 1:
            return there[0]
        raise FuseError(
            f"{place} has no column {' or '.join(USUAL)}; give {option('column')} one of: "
            f"{', '.join(there)}"
        )


def read_pairs(source: str, option: str = "--score") -> list[tuple[str | None, str]]:
    """Given texts with their prompts, ``None`` where a text has none.

    Args:
        source: A file with a text a line (.txt), or a table with a column "text" and maybe a column
            "prompt". Lines that ``fuse decode`` wrote are such a table.
        option: Name of the option that gives the file, for messages.

    Raises:
        FuseError: If it is missing, empty, of another kind, or a row has no text.
    """
    if Path(source).suffix.lower() == LINES:
        return [(None, text) for text in _lines(source, option)]
    rows = RowSources(Root()).open(source, option)
    if "text" not in rows.columns:
        raise FuseError(
            f"{rows.place} has no column 'text', but {', '.join(rows.columns)}; call the column of "
            "the texts so, and that of their prompts 'prompt'"
        )
    prompted = "prompt" in rows.columns
    found: list[tuple[str | None, str]] = []
    for number, row in enumerate(rows.read(["prompt", "text"] if prompted else ["text"]), 1):
        place = f"row {number} of {rows.place}"
        text = _cell(row, "text", place)
        if not text:
            raise FuseError(f"{place} has an empty text; remove the row")
        found.append((_cell(row, "prompt", place) if prompted else None, text))
    if not found:
        raise FuseError(f"{rows.place} has no row; give one with a text in each")
    return found


def numbered(pairs: Sequence[tuple[str | None, str]]) -> list[tuple[int, int]]:
    """Number of the prompt, and of the sample of it, for each text.

    Texts of equal prompts are samples of one prompt. Each text without prompt is on its own.

    >>> numbered([("a", "x"), (None, "y"), ("a", "z"), (None, "y")])
    [(0, 0), (1, 0), (0, 1), (2, 0)]
    """
    numbers: dict[object, int] = {}
    samples: dict[int, int] = {}
    found = []
    for place, (prompt, _) in enumerate(pairs):
        number = numbers.setdefault(place if prompt is None else prompt, len(numbers))
        samples[number] = samples.get(number, -1) + 1
        found.append((number, samples[number]))
    return found


def first_tokens(prompts: Sequence[str], model: CausalLM, count: int) -> list[str]:
    """The beginning of each prompt, of at most so many tokens.

    Args:
        prompts: The prompts.
        model: The loaded model that cuts them into tokens.
        count: Most tokens of each.

    Raises:
        FuseError: If the count is not positive.

    >>> model = CausalLM("zoo/gpt2")
    >>> model.load()
    >>> first_tokens(["a small red ball", "a"], model, 3)
    ['a small red', 'a']
    """
    if count < 1:
        raise FuseError(f"{option('prompt_tokens')} is {count}; give 1 or more")
    batch = model.encode(prompts, special=False)
    lengths = batch.mask.sum(1).tolist()
    return [
        prompt if length <= count else prompt[: int(batch.spans[row, count - 1, 1])]
        for row, (prompt, length) in enumerate(zip(prompts, lengths, strict=True))
    ]


def checked_text(text: str, option: str) -> str:
    """Text of an option itself.

    Raises:
        FuseError: If it is no Unicode, as where the terminal's encoding is another one.
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        raise FuseError(
            f"{option} is {quoted(text)}, which is no Unicode; give UTF-8 text, and check the "
            "terminal's encoding"
        ) from None
    return text


def _lines(source: str, option: str) -> list[str]:
    """Lines of a text file that are not blank."""
    try:
        text = read_text(Root().find(source, option))
    except (OSError, ValueError) as error:
        raise FuseError(
            f"text file {quoted(source)} cannot be read ({error}); give {option} an existing file "
            f"of UTF-8 text, or a text that does not end in {LINES}"
        ) from error
    # Other separators than the end of a line may be part of a text.
    if not (found := [line for line in text.split("\n") if line.strip()]):
        raise FuseError(f"text file {quoted(source)} holds no text; give one with a text a line")
    return found


def _cell(row: Any, column: str, place: str) -> str:
    cell = row.get(column) if isinstance(row, Mapping) else None
    if not isinstance(cell, str):
        raise FuseError(
            f"{place} has {quoted(cell)} of type {type(cell).__name__} as {column}; give a text"
        )
    return unicode_text(cell, column, place)


def _is_table(folder: Path) -> bool:
    return (folder / "state.json").is_file()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    # A text may be no name that a file can have.
    except (OSError, ValueError):
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
