"""Chat models behind web addresses that speak the protocol of OpenAI."""

from __future__ import annotations

import json
import logging
import random
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from functools import partial
from http.client import HTTPException
from typing import Any
from urllib.error import URLError

from fuse_lightning.data.fetching import Budget, TooLargeError, failed_because, post_http, within
from fuse_lightning.diffing.chat import Chat, Message, Reply
from fuse_lightning.diffing.endpoint_answers import Failure, read_answer
from fuse_lightning.diffing.endpoint_key import check_address, find_key, without_key
from fuse_lightning.diffing.endpoint_limits import Spending
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.addresses import shown
from fuse_lightning.utilities.numbers import check_number
from fuse_lightning.utilities.terminal import quoted, visible

logger = logging.getLogger(__name__)

CHANCE = random.SystemRandom()
"""Draws of waits, which take nothing from the random numbers of a search."""


class EndpointChat(Chat):
    """Chat with a model behind any address that speaks OpenAI's chat completions.

    The key is read from the environment for every request. It is kept nowhere, and sent to the
    given address alone: no redirection is followed. A request is repeated after a broken
    connection, a time-out, too many requests (429) and faults of the server (5xx), each time
    after a longer wait.

    Args:
        model: Name of the model at the server.
        base_url: Address before ``/chat/completions``.
        key_variable: Name of the environment variable with the key. Without such a variable, and
            with an empty name, no key is sent.
        timeout: Longest time of one request (seconds), from the look-up of the server's name to
            the last byte.
        connect_timeout: Longest time until the server takes the connection (seconds).
        retries: How often a failed request is repeated. A reply takes at most ``retries + 1``
            times ``timeout``, and the waits between.
        first_wait: Wait before the first repetition (seconds); it doubles with each further one.
            Half of it is drawn at random, so that many clients do not come at once.
        longest_wait: Longest wait (seconds). A server that asks for a longer one gets no further
            request for this reply.
        max_calls: Most requests in all, repetitions included; ``None`` for no limit.
        max_tokens_total: Tokens of all requests and replies from which on nothing more is asked;
            ``None`` for no limit. The last reply may go beyond it. Where the server counts none,
            four bytes are one.
        largest: Largest answer of the server (bytes).
        at_once: How many requests may run at the same time.
        extra: Further fields of a request, in place of those with the same names; ``None`` leaves
            a field out, as in ``{"max_tokens": None, "max_completion_tokens": 500}``.

    Raises:
        FuseError: If the address is none of http or https or holds a password, or a key would be
            sent unencrypted to another machine.
    """

    def __init__(
        self,
        model: str,
        base_url: str = "https://api.openai.com/v1",
        *,
        key_variable: str = "OPENAI_API_KEY",
        timeout: float = 60.0,
        connect_timeout: float = 10.0,
        retries: int = 3,
        first_wait: float = 1.0,
        longest_wait: float = 30.0,
        max_calls: int | None = 1000,
        max_tokens_total: int | None = None,
        largest: int = 4 * 2**20,
        at_once: int = 4,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        check_address(base_url, key_variable)
        check_number("timeout", timeout, 1e-3)
        check_number("connect_timeout", connect_timeout, 1e-3)
        check_number("retries", retries, 0)
        check_number("first_wait", first_wait, 0)
        check_number("longest_wait", longest_wait, 0)
        check_number("largest", largest, 1)
        check_number("at_once", at_once, 1)
        self.model = model
        self.base_url = base_url.rstrip("/")
        self.key_variable = key_variable
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self.retries = retries
        self.first_wait = first_wait
        self.longest_wait = longest_wait
        self.spending = Spending(max_calls, max_tokens_total)
        self.largest = largest
        self.at_once = at_once
        self.extra = dict(extra or {})
        try:
            json.dumps(self.extra)
        except (TypeError, ValueError):
            raise FuseError("extra of a chat model holds something that JSON cannot hold") from None
        self.name = f"the chat model {quoted(model)} at {quoted(shown(self.base_url))}"

    def kept(self) -> dict[str, int]:
        """Requests and tokens so far, which count towards the limits of a resumed search."""
        return self.spending.kept()

    def restore(self, counts: Mapping[str, int]) -> None:
        """Takes the requests and tokens of a checkpoint."""
        self.spending.calls = counts.get("calls", 0)
        self.spending.tokens = counts.get("tokens", 0)

    def answer(
        self,
        messages: Sequence[Message],
        *,
        temperature: float = 1.0,
        max_tokens: int = 500,
        seed: int = 0,
        firsts: int = 0,
    ) -> Reply:
        """The model's next turn; see :meth:`Chat.answer`.

        Raises:
            FuseError: If there is no reply after all repetitions, the server refuses the request,
                or a limit of calls or tokens is reached.
        """
        fields = {
            "model": self.model,
            "messages": [*messages],
            "temperature": temperature,
            "max_tokens": self.spending.at_most(max_tokens),
            "seed": seed,
            **({"logprobs": True, "top_logprobs": firsts} if firsts else {}),
        }
        fields = {
            key: value for key, value in {**fields, **self.extra}.items() if value is not None
        }
        # Halves of characters have no bytes but as escapes.
        body = json.dumps(fields).encode()
        attempt = 0
        while isinstance(result := self._ask(body), Failure):
            wait = self._wait(attempt, result)
            attempt += 1
            if wait is None:
                raise self._given_up(result, attempt)
            logger.debug("%s: %s; the next try comes in %.1f s", self.name, result.said, wait)
            time.sleep(wait)
        return result

    def _given_up(self, failure: Failure, requests: int) -> FuseError:
        """Error that says why there is no reply."""
        said = failure.said
        if failure.again and (failure.wait or 0) > self.longest_wait:
            said += f"; it asks for {failure.wait:.0f} s, and longest_wait is {self.longest_wait:g}"
        if requests > 1:
            said += f"; {requests} requests"
        return FuseError(f"{self.name} gives no reply ({said}){failure.remedy}")

    def _ask(self, body: bytes) -> Reply | Failure:
        """Reply to one request, or why there is none."""
        self.spending.begin(self.name)
        key = find_key(self.key_variable)
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        budget = Budget(self.timeout, self.largest)
        address = f"{self.base_url}/chat/completions"
        post = partial(post_http, address, body, headers, budget, self.connect_timeout)
        try:
            posted = within(budget, post)
        except (OSError, HTTPException, ValueError) as error:
            # An error keeps the frames it came from, and with them the headers.
            return Failure(without_key(failed_because(error), key), again=_may_pass(error))
        read = read_answer(posted, self.key_variable, bool(key))
        if isinstance(read, Failure):
            # A server may send back what it got.
            return Failure(without_key(visible(read.said), key), read.again, read.wait, read.remedy)
        self.spending.add(read.tokens or (len(body) + len(posted.body)) // 4)
        firsts = {without_key(text, key): value for text, value in read.firsts.items()}
        return Reply(without_key(read.text, key), firsts)

    def _wait(self, attempt: int, failure: Failure) -> float | None:
        """Seconds until the next request; ``None`` for none."""
        if not failure.again or attempt == self.retries:
            return None
        wanted = failure.wait or 0.0
        if wanted > self.longest_wait:
            return None
        # Powers of hundreds of repetitions are no floats.
        wait = min(self.longest_wait, self.first_wait * 2.0 ** min(attempt, 60))
        return max(wanted, wait * CHANCE.uniform(0.5, 1.0))


def _may_pass(error: Exception) -> bool:
    """Whether a request that failed with this error may be repeated."""
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, socket.gaierror):
        return reason.errno == socket.EAI_AGAIN
    lasting = isinstance(reason, TooLargeError | ssl.SSLCertVerificationError)
    return isinstance(reason, OSError | HTTPException) and not lasting
