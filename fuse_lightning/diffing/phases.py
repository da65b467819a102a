"""Phases of a comparison of two models, and who is told of them."""

from __future__ import annotations

from typing import Literal

Phase = Literal["texts", "tokens", "prompts"]
"""What a comparison is doing: both write texts, tokens are mined, prompts are searched for."""


class Phases:
    """Listener to the phases of a comparison; this one does nothing."""

    def begin(self, phase: Phase, parts: int, done: int = 0) -> None:
        """Called before a phase.

        Args:
            phase: The phase.
            parts: Number of its parts: texts that are written or read, or steps of the search.
            done: Number of the parts that an earlier process has done.
        """

    def advance(self) -> None:
        """Called behind each part of the phase."""
