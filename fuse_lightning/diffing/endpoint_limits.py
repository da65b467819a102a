"""Limits of what a chat model behind an address may cost."""

from __future__ import annotations

from threading import Lock

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.numbers import check_number


class Spending:
    """Requests and tokens that were spent, with their limits; several threads may share it.

    Args:
        max_calls: Most requests; ``None`` for no limit.
        max_tokens_total: Tokens from which on there are no more requests; ``None`` for no limit.

    Attributes:
        calls: Requests so far.
        tokens: Tokens so far, of requests and replies.

    >>> spending = Spending(max_calls=1)
    >>> spending.begin("the chat model")
    >>> spending.begin("the chat model")
    Traceback (most recent call last):
    fuse_lightning.errors.FuseError: the chat model is not asked: max_calls is 1, and all are used;
        give more
    """

    def __init__(self, max_calls: int | None = None, max_tokens_total: int | None = None) -> None:
        for name, limit in (("max_calls", max_calls), ("max_tokens_total", max_tokens_total)):
            if limit is not None:
                check_number(name, limit, 0)
        self.max_calls = max_calls
        self.max_tokens_total = max_tokens_total
        self.calls = 0
        self.tokens = 0
        self._lock = Lock()

    def __getstate__(self) -> dict[str, int | None]:
        """Numbers alone: locks belong to one process."""
        return {key: value for key, value in vars(self).items() if key != "_lock"}

    def __setstate__(self, state: dict[str, int | None]) -> None:
        """Takes the numbers."""
        vars(self).update(state, _lock=Lock())

    def kept(self) -> dict[str, int]:
        """Requests and tokens so far, for a checkpoint."""
        with self._lock:
            return {"calls": self.calls, "tokens": self.tokens}

    def begin(self, name: str) -> None:
        """Counts a request before it is sent.

        Args:
            name: What the message calls the model.

        Raises:
            FuseError: If a limit is reached.
        """
        with self._lock:
            if self.max_calls is not None and self.calls >= self.max_calls:
                raise FuseError(
                    f"{name} is not asked: max_calls is {self.max_calls}, and all are used; "
                    "give more"
                )
            if self.max_tokens_total is not None and self.tokens >= self.max_tokens_total:
                raise FuseError(
                    f"{name} is not asked: max_tokens_total is {self.max_tokens_total}, and all "
                    "are used; give more"
                )
            self.calls += 1

    def add(self, tokens: int) -> None:
        """Counts tokens of a request and its reply."""
        with self._lock:
            self.tokens += tokens

    def at_most(self, tokens: int) -> int:
        """Tokens that a reply may have: those asked for, or the fewer that are left."""
        if self.max_tokens_total is None:
            return tokens
        return max(1, min(tokens, self.max_tokens_total - self.tokens))
