"""Prompts out of what a chat model replied."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LONGEST_REPLY = 2**16
"""Characters of a reply that are looked at."""
LONGEST_PROMPT = 1000
"""Longest prompt, in characters, by default."""
TRIES = 100
"""Places of a reply where an object or a list may begin."""
DEPTH = 3
"""Depth of lists and objects in each other that prompts are looked for in."""
THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL)
THOUGHT_ENDS = re.compile(r"</think(?:ing)?>")
BEGIN = re.compile(r"[\[{]")
HALF = re.compile(r'\{\s*"|\[\s*["{]')
# Patterns that could begin at every quote or blank line would take the square of the length.
STRING = r'(?<!\\)"(?:[^"\\]|\\.)*"'
"""Pattern of a whole string of JSON; the end of a line may stand in it, too."""
PAIR = re.compile(rf"({STRING})\s*:\s*({STRING})", re.DOTALL)
ITEM = re.compile(rf"[\[,]\s*({STRING})(?=\s*[,\]])", re.DOTALL)
LINE = re.compile(
    r"^[ \t]*(?:[-*\u2022\u2013]|(?:\*\*)?(?:prompt[ \t]*)?\d+[ \t]*[.):](?:\*\*)?)[ \t]+(.+)$",
    re.IGNORECASE | re.MULTILINE,
)
"""Pattern of a line with a number or a bullet."""
NUMBER = re.compile(r"\d+")
QUOTES = (('"', '"'), ("'", "'"), ("“", "”"), ("`", "`"), ("**", "**"))
JSON = json.JSONDecoder(strict=False)
"""Decoder that takes line ends in strings, which models write."""


@dataclass(frozen=True)
class Prompts:
    """Prompts of a reply.

    Attributes:
        texts: The prompts, in order, each once.
        dropped: Number of others: no text, empty, too long, or there before.
    """

    texts: tuple[str, ...]
    dropped: int = 0


def prompts_in(reply: str, longest: int = LONGEST_PROMPT) -> Prompts:
    r"""Prompts that a chat model lists in its reply.

    The reply may be JSON: a list of texts, or an object with keys such as "prompt 1", which are
    ordered by their numbers. Else the first object or list with prompts inside the reply counts,
    with those that follow at once. Of JSON that ends too early the whole strings count. Else
    lines with numbers or bullets do.

    Args:
        reply: The reply. Thoughts in ``<think>`` count for nothing.
        longest: Longest prompt, in characters.

    >>> prompts_in('Sure: {"prompt 2": "Why?", "prompt 1": "Tell me", "prompt 3": 7}')
    Prompts(texts=('Tell me', 'Why?'), dropped=1)
    >>> prompts_in('```json\n["A day", "A nig')
    Prompts(texts=('A day',), dropped=0)
    >>> prompts_in("1. The sea\n2. The land").texts
    ('The sea', 'The land')
    """
    text = without_thoughts(reply[:LONGEST_REPLY])
    found = _decoded(text) or _halves(text) or [_bare(line) for line in LINE.findall(text)]
    texts: dict[str, None] = {}
    for each in found:
        if isinstance(each, str) and _usable(each := each.strip(), longest):
            texts.setdefault(each)
    return Prompts(tuple(texts), len(found) - len(texts))


def without_thoughts(reply: str) -> str:
    """Reply without what the model thought before it.

    >>> without_thoughts("<think>No doubt?</think>Yes")
    'Yes'
    """
    # Some models begin to think before the reply begins.
    return THOUGHT_ENDS.split(THOUGHT.sub("", reply))[-1]


def _usable(text: str, longest: int) -> bool:
    # JSON can spell halves of characters, which no file and no tokenizer takes.
    whole = not any("\ud800" <= char <= "\udfff" for char in text)
    return 0 < len(text) <= longest and whole


def _decoded(text: str) -> list[Any]:
    """Values of the first objects and lists that hold prompts, next to each other."""
    found: list[Any] = []
    place = 0
    for _ in range(TRIES):
        begin = BEGIN.search(text, place)
        if begin is None or (found and text[place : begin.start()].strip(" \t\r\n,;`")):
            break
        try:
            value, place = JSON.raw_decode(text, begin.start())
        except (ValueError, RecursionError):
            if found:
                break
            place = begin.end()
            continue
        values = [*_values(value)]
        if any(isinstance(each, str) for each in values):
            found += values
        elif found:
            break
    return found


def _values(value: Any, depth: int = DEPTH) -> Iterator[Any]:
    """Values that stand where prompts do."""
    if isinstance(value, list) and depth:
        for each in value:
            yield from _values(each, depth - 1)
    elif isinstance(value, dict) and depth:
        for key in _ordered(value):
            yield from _values(value[key], depth - 1)
    else:
        yield value


def _ordered(pairs: dict[str, Any]) -> list[str]:
    """Keys of prompts, by their numbers; those without a number come last."""
    keys = [key for key in pairs if "prompt" in key.lower()]
    keys = keys or [key for key in pairs if key.strip().isdigit()]
    return sorted(keys, key=_number)


def _number(key: str) -> tuple[bool, int]:
    number = NUMBER.search(key)
    # A number of thousands of digits is none that Python reads.
    return (number is None, int(number[0][:9]) if number else 0)


def _halves(text: str) -> list[Any]:
    """Whole strings of JSON that is broken or cut off."""
    begin = HALF.search(text)
    if begin is None:
        return []
    rest = text[begin.start() :]
    pairs = {_string(key): _string(value) for key, value in PAIR.findall(rest)}
    if pairs:
        return [pairs[key] for key in _ordered(pairs)]
    return [_string(item) for item in ITEM.findall(rest)]


def _string(quoted: str) -> str:
    try:
        return str(JSON.decode(quoted))
    except ValueError:
        # An escape that JSON does not know, such as that of a path.
        return quoted[1:-1]


def _bare(line: str) -> str:
    """Line without the quotes or stars around it."""
    line = line.strip()
    for left, right in QUOTES:
        if len(line) > len(left + right) and line.startswith(left) and line.endswith(right):
            line = line[len(left) : -len(right)]
    return line
