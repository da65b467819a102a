"""Number of evaluations of a target: prompts that were scored, on one example each or on none."""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any

import torch

KEY = 8
"""Bytes of the digest that stands for a prompt."""


class Evaluations:
    """Number of distinct pairs of a prompt and an example that were scored.

    A pair that is asked for again is remembered, and counts once. Digests of the prompts go into
    checkpoints, so that a resumed search counts as if it had not been stopped.

    >>> evaluations = Evaluations()
    >>> evaluations.add((5, 7), [0, 1, 2])
    >>> evaluations.add((5, 7), [2, 3])
    >>> evaluations.count, (5, 7) in evaluations, (5,) in evaluations
    (4, True, False)

    Attributes:
        count: The number.
    """

    def __init__(self) -> None:
        self.count = 0
        self._known: dict[int, int] = {}
        """Examples of each prompt, as the set bits of a number."""

    def add(self, state: Any, examples: Iterable[int] = (0,), *, again: bool = False) -> None:
        """Counts the scores of one prompt.

        Args:
            state: A text, a number, or a tuple of these.
            examples: Numbers of the examples; 0 for a target without examples.
            again: Whether known pairs were computed again, and count again.
        """
        key = _digest(state)
        asked = 0
        for number in examples:
            asked |= 1 << number
        known = self._known.get(key, 0)
        self.count += (asked if again else asked & ~known).bit_count()
        self._known[key] = known | asked

    def __contains__(self, state: Any) -> bool:
        """Whether a prompt was scored, on any example."""
        return _digest(state) in self._known

    def forget(self) -> None:
        """Drops the known pairs, where all losses change; the count stays."""
        self._known.clear()

    def state_dict(self) -> dict[str, Any]:
        """The count, the digests of prompts and the bits of their examples."""
        width = max([1, *(-(-bits.bit_length() // 8) for bits in self._known.values())])
        rows = [
            key.to_bytes(KEY, "little") + bits.to_bytes(width, "little")
            for key, bits in self._known.items()
        ]
        known = torch.frombuffer(bytearray(b"".join(rows)), dtype=torch.uint8) if rows else None
        empty = torch.empty(0, dtype=torch.uint8)
        return {
            "count": self.count,
            "known": (empty if known is None else known).view(len(rows), KEY + width),
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Evaluations":
        """Restores a :meth:`state_dict`.

        Raises:
            LookupError, TypeError, ValueError: If it is none.
        """
        found, known = cls(), state["known"]
        if type(state["count"]) is not int or state["count"] < 0:
            raise TypeError("the number of evaluations is no count")
        if known.dtype != torch.uint8 or known.dim() != 2 or known.shape[1] <= KEY:
            raise ValueError("the known evaluations are of another kind")
        found.count = state["count"]
        for row in known.cpu().numpy():
            data = row.tobytes()
            key = int.from_bytes(data[:KEY], "little")
            found._known[key] = int.from_bytes(data[KEY:], "little")
        return found


def _digest(state: Any) -> int:
    return int.from_bytes(blake2b(repr(state).encode(), digest_size=KEY).digest(), "little")
