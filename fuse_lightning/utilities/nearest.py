"""The known name that is nearest to a mistyped one, for messages."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: str, known: Iterable[str], least: float = 0.6) -> str:
    """A question with the known name that is nearest, and a space; empty if none is near.

    Args:
        name: The mistyped name.
        known: The known names.
        least: Least similarity of two names that are near, from 0 to 1.

    >>> did_you_mean("zoo/clip-judgee", ["zoo/clip", "zoo/clip-judge"])
    'did you mean zoo/clip-judge? '
    >>> did_you_mean("nope", ["quickstart"])
    ''
    """
    near = get_close_matches(name, [*known], 1, least)
    return f"did you mean {near[0]}? " if near else ""
