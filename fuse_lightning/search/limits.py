"""Limits of a target's search: steps, patience, loss, and budgets of work and time."""

from dataclasses import dataclass
from typing import Any

from fuse_lightning.errors import FuseError
from fuse_lightning.search.target_search import TargetSearch
from fuse_lightning.utilities.numbers import check_number

BUDGETS = ("evaluations", "tokens", "seconds", "flops")
"""What a target's search uses up."""


@dataclass(frozen=True)
class Limits:
    """Limits that end a target's search.

    A search ends after the step in which it has used a budget up: that step is not cut short, so
    that it may use some more.

    >>> Limits(steps=0)
    Traceback (most recent call last):
    fuse_lightning.errors.FuseError: steps is 0; it must be at least 1

    Attributes:
        steps: Most steps.
        patience: Steps without a better prompt; ``None`` for no limit.
        stop_loss: Loss that is low enough; ``None`` for no limit.
        max_evaluations: Budget of scored prompts, or of scored pairs of a prompt and an example;
            ``None`` for no limit.
        max_tokens: Budget of positions that models read; ``None`` for no limit.
        max_seconds: Budget of wall time, in seconds; ``None`` for no limit.
        max_flops: Budget of floating-point operations; ``None`` for no limit.

    Raises:
        FuseError: If one of them is out of its range.
    """

    steps: int
    patience: int | None = None
    stop_loss: float | None = None
    max_evaluations: int | None = None
    max_tokens: int | None = None
    max_seconds: float | None = None
    max_flops: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("patience", self.patience)):
            if value is not None and value < 1:
                raise FuseError(f"{name} is {value}; it must be at least 1")
        if self.stop_loss is not None:
            check_number("stop_loss", self.stop_loss)
        for name in BUDGETS:
            most = self.budget(name)
            if most is not None and not most > 0:
                raise FuseError(f"max_{name} is {most}; it must be above 0")

    def budget(self, name: str) -> float | None:
        """The most that a search may use of one of :data:`BUDGETS`; ``None`` for no limit."""
        most: float | None = getattr(self, f"max_{name}")
        return most

    def spent(self, search: TargetSearch[Any]) -> bool:
        """Whether a search has used up its steps or another budget."""
        budgets = {name: most for name in BUDGETS if (most := self.budget(name)) is not None}
        used = any(getattr(search, name) >= most for name, most in budgets.items())
        return search.step >= self.steps or used

    def reached(self, search: TargetSearch[Any]) -> bool:
        """Whether a search has found a prompt that is good enough."""
        if self.stop_loss is None or search.best is None:
            return False
        return search.best.loss <= self.stop_loss

    def stalled(self, search: TargetSearch[Any], since: int) -> bool:
        """Whether too many steps after ``since`` brought no better prompt."""
        return self.patience is not None and search.step - since >= self.patience
