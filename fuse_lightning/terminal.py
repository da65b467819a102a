"""Text of others on a terminal: a prompt or a file name may hold anything."""

import json
import unicodedata

HIDDEN = frozenset(("Cc", "Cf", "Cs", "Zl", "Zp"))
"""Controls, direction marks, halves of characters, and separators that end a line."""
JOINERS = "\u200c\u200d"
"""Part of words in some scripts, and of emoji."""


def visible(text: str) -> str:
    r"""The text in one line, with what a terminal would obey or hide written as an escape.

    Escapes are those of JSON, such as ``\u001b``, so that a JSON text stays the same value.
    """
    return "".join(_escape(char) for char in text)


def _escape(char: str) -> str:
    hidden = unicodedata.category(char) in HIDDEN and char not in JOINERS
    return json.dumps(char)[1:-1] if hidden else char
