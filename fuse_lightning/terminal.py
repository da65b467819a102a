"""Text of others on a terminal: a prompt or a file name may hold anything."""

import json
import unicodedata

HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Controls, direction marks, halves of characters, and separators that end a line."""
JOINERS = "\u200c\u200d"
"""Part of words in some scripts, and of emoji."""
LONGEST_NAME = 240
"""Characters of a name that a message shows whole; folders have shorter ones in most systems."""


def visible(text: str) -> str:
    r"""The text in one line, with what a terminal would obey or hide written as an escape.

    Escapes are those of JSON, such as ``\u001b``, so that a JSON text stays the same value.
    """
    return "".join(_escape(char) for char in text)


def _escape(char: str) -> str:
    hidden = unicodedata.category(char) in HIDDEN and char not in JOINERS
    return json.dumps(char)[1:-1] if hidden else char


def quoted(text: object) -> str:
    """A name in quotes; of a very long one the beginning and the end."""
    name = str(text)
    return repr(name if len(name) <= LONGEST_NAME else f"{name[:120]}…{name[-60:]}")
