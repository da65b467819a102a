"""Comparison of objectives: a search resumes only with the same objective."""

import inspect
from collections.abc import Mapping
from typing import Any

Identity = dict[str, str]
"""Parts of an objective by name, each as a text; equal texts stand for equal parts."""

CONTENT = "model content of"
"""Beginning of the names of parts that only loaded models know."""
LONGEST = 60


def plain_options(thing: object, leave_out: tuple[str, ...] = ()) -> Identity:
    """Constructor options of an object that are texts, numbers, or lists or dicts of them.

    Args:
        thing: An object that keeps its options as attributes of the same names.
        leave_out: Options that do not count.

    >>> from fractions import Fraction
    >>> plain_options(Fraction(1, 2))
    {}
    >>> class Term:
    ...     def __init__(self, prefix, weight=1):
    ...         self.prefix, self.weight = prefix, weight
    >>> plain_options(Term("a"))
    {'prefix': "'a'", 'weight': '1.0'}
    >>> plain_options(Term({"good": "fine", "bad": "sad"}))["prefix"]
    "{'bad': 'sad', 'good': 'fine'}"
    """
    names: dict[str, None] = {}
    for kind in type(thing).__mro__:
        if (construct := vars(kind).get("__init__")) is not None:
            names.update(dict.fromkeys([*inspect.signature(construct).parameters][1:]))
    kept = {name: getattr(thing, name) for name in names if hasattr(thing, name)}
    return {
        name: _text(value)
        for name, value in kept.items()
        if name not in leave_out and _is_plain(value)
    }


def difference(known: Mapping[str, str], now: Mapping[str, str]) -> str | None:
    """Sentence about the first part that differs; ``None`` if all parts are equal.

    >>> difference({"weight": "1.0"}, {"weight": "2.0"})
    'weight is 2.0, but was 1.0'
    """
    for name in [*known, *(name for name in now if name not in known)]:
        before, after = known.get(name, "nothing"), now.get(name, "nothing")
        if before != after:
            return f"{name} is {_short(after)}, but was {_short(before)}"
    return None


def _is_plain(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and _is_plain(each) for key, each in value.items())
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | bool)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        # Names stand in no order.
        return repr(dict(sorted(value.items())))
    # 6 and 6.0 are one weight.
    number = isinstance(value, int) and not isinstance(value, bool)
    return repr(float(value) if number else value)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
