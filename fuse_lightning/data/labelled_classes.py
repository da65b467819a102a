"""Classes of labelled examples: their names in the data and the words that stand for them."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from fuse_lightning.data.names import some
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.nearest import did_you_mean

MOST_CLASSES = 1000
"""Most classes of a target; more are numbers to predict, or a wrong column."""
Words = Mapping[str, str | Sequence[str]]


def class_name(value: Any, names: Sequence[str] = ()) -> str | None:
    """Name of the class that a cell holds; ``None`` if it holds none.

    Args:
        value: A text, a number or a truth value.
        names: Names of the classes by their number, where the column holds numbers.

    >>> class_name(" sad "), class_name(3), class_name(True), class_name(1, ["bad", "good"])
    ('sad', '3', 'true', 'good')
    >>> class_name(-1, ["bad", "good"]), class_name(None), class_name(0.5), class_name("")
    (None, None, None, None)
    """
    # Tables write whole numbers as 1.0 where a cell of the column is empty.
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        if not names:
            return str(value)
        return names[value] if 0 <= value < len(names) else None
    return value.strip() or None if isinstance(value, str) else None


def class_words(
    found: Collection[str],
    names: Sequence[str],
    labels: Words | None,
    place: str,
    column: str = "data.label_column",
) -> dict[str, list[str]]:
    """Classes in order, each with its words, without white space around them.

    The order is that of ``labels``, else that of ``names``, else by number or alphabet.

    Args:
        found: Classes of the examples.
        names: Names of the classes by number; some may have no example.
        labels: A word or words of each class, by its name or by its number as a text; by default
            the word of a class is its name.
        place: Name of the source for errors.
        column: Option that names the column of classes.

    Raises:
        FuseError: If a class is unknown or has no word, a word is empty or stands twice, or there
            is one class alone or there are too many.

    >>> class_words({"10", "9"}, (), None, "it")
    {'9': ['9'], '10': ['10']}
    >>> class_words({"neg", "pos"}, ("neg", "pos"), {"1": ["good", "fine"], "neg": "bad"}, "it")
    {'pos': ['good', 'fine'], 'neg': ['bad']}
    """
    if len(found) > MOST_CLASSES:
        raise FuseError(
            f"the classes of {place} are {len(found)}, such as {some(sorted(found)[:2])}; at most "
            f"{MOST_CLASSES} are taken: check {column}"
        )
    order = [*names, *sorted({*found} - {*names}, key=_by_number)]
    if labels is None:
        words = {name: [name] for name in order}
    else:
        words = _given(labels, order, names, place)
    if without := [name for name in order if name in found and name not in words]:
        raise FuseError(
            f"data.labels has no word for class {without[0]!r} of {place}; give each class one"
        )
    if len(words) < 2:
        raise FuseError(
            f"{place} has {', '.join(map(repr, words)) or 'no class'} as its only class; a prompt "
            f"that tells classes apart needs examples of two: check {column}"
        )
    _check(words)
    return words


def _given(
    labels: Words, order: Sequence[str], names: Sequence[str], place: str
) -> dict[str, list[str]]:
    words: dict[str, list[str]] = {}
    for given, each in labels.items():
        # YAML makes numbers and truth values of some names.
        key = class_name(given) or ""
        name = key
        if key not in order and key.isdecimal() and int(key) < len(names):
            name = names[int(key)]
        if name not in order:
            quote = "" if isinstance(given, str) else " in quotes"
            raise FuseError(
                f"data.labels names the class {given!r}, which {place} has not; "
                f"{did_you_mean(key, order)}name one of {some(order)}{quote}"
            )
        if name in words:
            raise FuseError(f"data.labels names the class {name!r} twice; give all its words once")
        words[name] = [*_texts(each, name)]
    return words


def _texts(given: Any, name: str) -> list[str]:
    texts = [given] if not isinstance(given, Sequence) or isinstance(given, str) else given
    for text in texts:
        # YAML makes other things of some words.
        if not isinstance(text, str):
            raise FuseError(
                f"data.labels gives class {name!r} the word {text!r}, which is no text; put it in "
                "quotes"
            )
    return [text.strip() for text in texts]


def _check(words: Mapping[str, Sequence[str]]) -> None:
    owner: dict[str, str] = {}
    for name, texts in words.items():
        if not texts:
            raise FuseError(f"data.labels gives class {name!r} no word; give it at least one")
        for text in texts:
            if not text:
                raise FuseError(f"data.labels gives class {name!r} an empty word; write one")
            if text in owner:
                both = name if owner[text] == name else f"{owner[text]!r} and {name!r}"
                raise FuseError(
                    f"the word {text!r} stands for class {name!r} twice; give it once"
                    if both == name
                    else f"the word {text!r} stands for the classes {both}; give each its own in "
                    "data.labels"
                )
            owner[text] = name


def _by_number(name: str) -> tuple[float, str]:
    try:
        return int(name), name
    except ValueError:
        return float("inf"), name
