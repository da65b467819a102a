"""Answers of servers that speak OpenAI's chat completions: replies, or why there are none."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

from fuse_lightning.data.fetching import Posted, status_words

REPEATED = {408, 409, 425, 429}
"""Statuses below 500 after which a request may be repeated."""
WORD = re.compile(r"[a-z][a-z_]{0,59}")
"""Pattern of codes of faults, which no part of a key has."""
SPENT = "insufficient_quota"
"""Code of an account without money, which comes with the status of too many requests."""


@dataclass(frozen=True)
class Failure:
    """Reason why a request got no reply.

    Attributes:
        said: The reason in words.
        again: Whether the same request may do better.
        wait: Seconds that the server asks to wait; ``None`` if it asks for none.
        remedy: What the user can do, to be put behind the reason.
    """

    said: str
    again: bool = False
    wait: float | None = None
    remedy: str = ""


@dataclass(frozen=True)
class Read:
    """Reply of a server.

    Attributes:
        text: The text.
        tokens: Tokens of request and reply; 0 where the server counts none.
        firsts: Log-probabilities of the likeliest first tokens (nats), by their texts.
    """

    text: str
    tokens: int
    firsts: Mapping[str, float]


def read_answer(posted: Posted, key_variable: str, with_key: bool) -> Read | Failure:
    """Reply in an answer, or the reason why there is none.

    Args:
        posted: The answer.
        key_variable: Name of the environment variable with the key, for the remedy.
        with_key: Whether a key was sent.
    """
    if not 200 <= posted.status < 300:
        return _refused(posted, key_variable, with_key)
    try:
        answer = json.loads(posted.body)
    except (ValueError, RecursionError):
        return Failure("its answer is no JSON", again=True)
    message = _at(answer, "choices", 0, "message")
    text = _text(_at(message, "content"))
    if text is None:
        return Failure(
            "its answer is no chat completion", remedy="; check base_url, model and max_tokens"
        )
    tokens = _at(answer, "usage", "total_tokens")
    counted = isinstance(tokens, int) and not isinstance(tokens, bool) and tokens > 0
    return Read(text, tokens if counted else 0, _firsts(answer))


def _at(value: Any, *path: str | int) -> Any:
    """Part of a JSON value; ``None`` if it is not there."""
    for step in path:
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None
    return value


def _text(content: Any) -> str | None:
    """Text of a message's content, which may have parts."""
    if isinstance(content, list):
        parts = [_at(part, "text") for part in content]
        content = "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) and content.strip() else None


def _firsts(answer: Any) -> dict[str, float]:
    """Log-probabilities of the likeliest first tokens."""
    found: dict[str, float] = {}
    listed = _at(answer, "choices", 0, "logprobs", "content", 0, "top_logprobs")
    for each in listed if isinstance(listed, list) else []:
        token, value = _at(each, "token"), _at(each, "logprob")
        if isinstance(token, str) and isinstance(value, int | float) and value <= 0:
            found.setdefault(token, float(value))
    return found


def _refused(posted: Posted, key_variable: str, with_key: bool) -> Failure:
    """Reason of an answer with a status that is no success."""
    status = posted.status
    said = status_words(status)
    if 300 <= status < 400:
        return Failure(f"{said}: a redirection", remedy="; give the address it leads to")
    codes = _codes(posted.body)
    if codes:
        said += f", {', '.join(codes)}"
    again = (status in REPEATED or status >= 500) and SPENT not in codes
    remedy = "; check model and base_url" if status in (400, 404, 405, 422) else ""
    if status in (401, 403) and key_variable:
        remedy = f"; check the key in the environment variable {key_variable}"
        if not with_key:
            remedy = f"; set the environment variable {key_variable} to a key"
    return Failure(said, again, wanted_wait(posted.headers), remedy)


def _codes(body: bytes) -> list[str]:
    """Code and parameter that a server names; its other words may be anything."""
    try:
        error = _at(json.loads(body), "error")
    except (ValueError, RecursionError):
        return []
    words = [_at(error, name) for name in ("code", "type", "param")]
    found = [word for word in words if isinstance(word, str) and WORD.fullmatch(word)]
    return list(dict.fromkeys(found))


def wanted_wait(headers: Mapping[str, str]) -> float | None:
    """Seconds that a server asks to wait before the next request.

    Args:
        headers: Headers of its answer. ``Retry-After`` gives seconds or a date.

    >>> wanted_wait({"Retry-After": "2.5"}), wanted_wait({"Retry-After": "soon"})
    (2.5, None)
    """
    given = headers.get("Retry-After")
    if given is None:
        return None
    try:
        wait = float(given)
    except ValueError:
        try:
            wait = parsedate_to_datetime(given).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, wait) if math.isfinite(wait) else None
