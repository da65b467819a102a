"""Files of scored texts: JSON, one line a text."""

import json
import logging
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from fuse_lightning.decoding.scored_text import Ended, ScoredText
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.regular import read_regular
from fuse_lightning.utilities.terminal import quoted, visible

LARGEST = 2**33
"""Largest file of texts, in bytes."""

logger = logging.getLogger(__name__)


def as_line(text: ScoredText) -> str:
    r"""Line of JSON of a text, with its newline; :func:`read_texts` gives the same text back.

    JSON has no infinite numbers. They are written as the strings "inf", "-inf" and "nan".

    >>> from fuse_lightning.decoding.scored_text import Tokens
    >>> tokens = Tokens((" sea",), (7,), {"kl": (float("inf"),)}, {"a": (-1.0,)})
    >>> line = as_line(ScoredText("The", " sea", tokens, ("a", "b")))
    >>> line[:40], json.loads(line)["divergences"]
    ('{"prompt": "The", "text": " sea", "token', {'kl': 'inf'})
    """
    return f"{visible(json.dumps(_plain(text.to_dict()), ensure_ascii=False, allow_nan=False))}\n"


def _plain(value: Any) -> Any:
    """The value with strings in place of numbers that JSON lacks."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def read_texts(path: Path) -> list[ScoredText]:
    """Reads the texts of a file of :func:`as_line`.

    A last line without newline that is cut short is left out, and a warning says so.

    Raises:
        FuseError: If the file cannot be read, or another line is no text.
    """
    try:
        lines = read_regular(path, LARGEST).split(b"\n")
    except OSError as error:
        raise FuseError(
            f"texts {quoted(path)} cannot be read: {error}; give a file of lines that fuse decode "
            "wrote"
        ) from error
    texts = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            texts.append(_text(line))
        except (AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
            if number < len(lines):
                raise FuseError(
                    f"line {number} of {quoted(path)} is no scored text ({_reason(error)}); remove "
                    "the line, or give a file of lines that fuse decode wrote"
                ) from error
            logger.warning(
                "line %d of %s is cut short; the %d texts before it are read",
                number,
                quoted(path),
                len(texts),
            )
    return texts


def _reason(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else visible(str(error))


def _text(line: bytes) -> ScoredText:
    """Text of a line.

    Raises:
        AttributeError, LookupError, TypeError, ValueError: If a part is missing, or is not what it
            should be.
    """
    told = json.loads(line.decode())
    tokens = _check("the line", told, dict)["tokens"]
    told["pair"] = _checked("pair", told["pair"], str)
    told["weights"] = {name: _number(weight) for name, weight in told["weights"].items()}
    for name, kind in (("prompt", str), ("text", str), ("prompt_number", int), ("sample", int)):
        _check(name, told[name], kind)
    if told["ended"] not in get_args(Ended):
        raise ValueError(f"ended is {told['ended']!r}")
    count = len(_checked("ids", tokens["ids"], int))
    _checked("pieces", tokens["pieces"], str, count)
    for part in ("divergences", "log_probs"):
        tokens[part] = {
            name: [_number(value) for value in _checked(name, row, object, count)]
            for name, row in tokens[part].items()
        }
    tokens["tops"] = {
        name: [
            [(_check("a top token", word, str), _number(p)) for word, p in place]
            for place in _checked(name, places, list, count)
        ]
        for name, places in tokens["tops"].items()
    }
    return ScoredText.from_dict(told)


def _checked(what: str, values: Any, kind: type, count: int | None = None) -> list[Any]:
    """A list of values of a kind, as many as there are tokens."""
    for value in _check(what, values, list):
        _check(f"one of {what}", value, kind)
    if count is not None and len(values) != count:
        raise ValueError(f"{len(values)} of {what} for {count} tokens")
    return list(values)


def _check(what: str, value: Any, kind: type) -> Any:
    """The value, of a kind.

    Raises:
        TypeError: If it is of another.
    """
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{what} is {type(value).__name__}, not {kind.__name__}")
    return value


def _number(value: Any) -> float:
    if value in ("inf", "-inf", "nan"):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{value!r} is no number")
    return value
