"""What must be equal for a search to go on: the objective, not the effort spent on it."""

import inspect
from collections.abc import Mapping
from typing import Any

Identity = dict[str, str]
"""Parts of an objective by name, each as a text that is equal where the part is."""

CONTENT = "model content of"
"""How the parts begin that loaded models alone can tell."""
LONGEST = 60


def plain_options(thing: object, leave_out: tuple[str, ...] = ()) -> Identity:
    """Constructor options of an object, as it keeps them, where they are words or numbers.

    Args:
        thing: An object that keeps its options under their own names.
        leave_out: Options that decide nothing.
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
    """The first part that differs, in words; ``None`` where all are equal."""
    for name in [*known, *(name for name in now if name not in known)]:
        before, after = known.get(name, "nothing"), now.get(name, "nothing")
        if before != after:
            return f"{name} is {_short(after)}, but was {_short(before)}"
    return None


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, str | int | float | bool)


def _text(value: Any) -> str:
    # 6 and 6.0 are one weight.
    number = isinstance(value, int) and not isinstance(value, bool)
    return repr(float(value) if number else value)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
