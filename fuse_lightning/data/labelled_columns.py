"""Columns of labelled examples: which hold the texts and which the class."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from fuse_lightning.errors import FuseError

TEXT = "text"
"""Field of a text that stands alone, whatever its column is called."""
LABEL = "label"
"""Name of an example's class beside its fields."""
RESERVED = frozenset(("prompt", "answer", LABEL))
"""Names that a layout, or an example, uses for something else."""
TEXTS = (
    ("premise", "hypothesis"),
    ("sentence1", "sentence2"),
    ("question1", "question2"),
    ("question", "sentence"),
    ("question", "passage"),
    ("question", "context"),
    ("title", "content"),
    ("title", "text"),
    ("text",),
    ("sentence",),
    ("content",),
    ("review",),
    ("x",),
    ("input",),
    ("question",),
    ("goal",),
)
"""Usual names of text columns; the first group that is there whole counts."""
LABELS = ("label_text", "label", "y", "target", "answer", "class", "category", "sentiment")
"""Usual names of the column of classes; the first one that is there counts."""
NUMBERS = ("", "id", "idx", "index", "row", "row_id", "unnamed: 0")
"""Usual names of the column that numbers rows."""
USUAL = frozenset((*(name for group in TEXTS for name in group), *LABELS, *NUMBERS))
"""Names of which each stands for something else than the one column that is missing."""


@dataclass(frozen=True)
class Chosen:
    """Columns to read of a source.

    Attributes:
        fields: Column of each field of an example.
        label: Column of the classes.
        guessed: Those of the columns that were guessed.
    """

    fields: Mapping[str, str]
    label: str
    guessed: Collection[str] = ()

    @property
    def columns(self) -> list[str]:
        """All columns to read."""
        return [*self.fields.values(), self.label]


def field_name(column: str) -> str:
    """Name of a column's field, which a layout can hold in braces.

    >>> field_name("hypothesis"), field_name("Review Text"), field_name("2nd"), field_name("answer")
    ('hypothesis', 'Review_Text', '_2nd', 'answer_')
    """
    # Some letters and digits are no part of a name, such as raised ones.
    name = "".join(char if f"_{char}".isidentifier() else "_" for char in column)
    name = name if name.isidentifier() else f"_{name}"
    return f"{name}_" if name in RESERVED else name


def usual_texts(there: Collection[str]) -> Sequence[str]:
    """Columns that usually hold texts: the first group of names that is there whole.

    >>> usual_texts(["title", "sentence"]), usual_texts(["a"])
    (('sentence',), ())
    """
    return next((group for group in TEXTS if {*group} <= {*there}), ())


def only_other(left: Sequence[str], usual: Collection[str]) -> Sequence[str]:
    """The column that is left alone, unless its name is a usual one, as of half a pair of texts.

    >>> only_other(["a"], ["text"]), only_other(["Text"], ["text"]), only_other(["a", "b"], [])
    (['a'], [], [])
    """
    return [name for name in left if len(left) == 1 and name.lower() not in usual]


def choose(
    there: Sequence[str],
    class_columns: Collection[str],
    text: str | Sequence[str] | None,
    label: str | None,
    place: str,
) -> Chosen:
    """Columns of the texts and of the class: those that were given, or those of usual names.

    Where all columns but one are known, the last one is what is missing.

    Args:
        there: Columns that the source has.
        class_columns: Those of them that say by their type that they hold classes.
        text: The given text column or columns. A text alone becomes the field ``text``; columns of
            a list keep their own names.
        label: The given column of classes.
        place: Name of the source for errors.

    Raises:
        FuseError: If a column is missing, stands for two things, or cannot be guessed.

    >>> choose(["title", "content", "label"], [], None, None, "it").fields
    {'title': 'title', 'content': 'content'}
    >>> choose(["idx", "sentence", "label"], [], None, None, "it")
    Chosen(fields={'text': 'sentence'}, label='label', guessed=['sentence', 'label'])
    >>> choose(["sentence", "topic"], [], None, None, "it").label
    'topic'
    """
    known = ", ".join(there)
    given = [text] if isinstance(text, str) else list(text or [])
    for option, columns in (("text_column", given), ("label_column", [label] if label else [])):
        if missing := [name for name in columns if name not in there]:
            raise FuseError(
                f"{place} has no column {missing[0]!r}; give data.{option} one of: {known}"
            )
    label_column = label or _guess_label(there, class_columns, given, place)
    left = [name for name in there if name != label_column]
    texts = given or usual_texts(left) or only_other(left, USUAL)
    if not texts:
        raise FuseError(
            f"{place} has no column of a usual name for texts; give data.text_column one or "
            f"several of: {known}"
        )
    if label_column in texts:
        raise FuseError(
            f"column {label_column!r} of {place} is both text and class; give data.text_column "
            f"and data.label_column two of: {known}"
        )
    own_names = len(texts) > 1 or not isinstance(text, str | None)
    fields: dict[str, str] = {}
    for column in texts:
        name = field_name(column) if own_names else TEXT
        if name in fields:
            raise FuseError(
                f"columns {fields[name]!r} and {column!r} of {place} would both be the field "
                f"{{{name}}}; name each once in data.text_column, or rename one"
            )
        fields[name] = column
    guessed = [*([] if given else texts), *([] if label else [label_column])]
    return Chosen(fields, label_column, guessed)


def _guess_label(
    there: Sequence[str], class_columns: Collection[str], texts: Sequence[str], place: str
) -> str:
    usual = [name for name in LABELS if name in there and name not in texts]
    typed = [name for name in class_columns if name not in texts]
    if usual:
        return usual[0]
    if len(typed) == 1:
        return typed[0]
    among = typed or [name for name in there if name not in texts]
    known = texts or usual_texts(there)
    other = only_other([name for name in there if name not in known], USUAL)
    if known and other:
        return other[0]
    raise FuseError(
        f"{place} has {'several columns' if typed else 'no column of a usual name'} for classes; "
        f"give data.label_column one of: {', '.join(among)}"
    )
