"""Limits of a target's search: steps, patience, loss and time."""

from dataclasses import dataclass
from typing import Any

from fuse_lightning.errors import FuseError
from fuse_lightning.search.target_search import TargetSearch
from fuse_lightning.utilities.numbers import check_number


@dataclass(frozen=True)
class Limits:
    """Limits that end a target's search.

    >>> Limits(steps=0)
    Traceback (most recent call last):
    fuse_lightning.errors.FuseError: steps is 0; it must be at least 1

    Attributes:
        steps: Most steps.
        patience: Steps without a better prompt; ``None`` for no limit.
        stop_loss: Loss that is low enough; ``None`` for no limit.
        stop_seconds: Share of the wall time, in seconds, after which no step begins; ``None`` for
            no limit.

    Raises:
        FuseError: If one of them is out of its range.
    """

    steps: int
    patience: int | None = None
    stop_loss: float | None = None
    stop_seconds: float | None = None

    def __post_init__(self) -> None:
        for name, value in (("steps", self.steps), ("patience", self.patience)):
            if value is not None and value < 1:
                raise FuseError(f"{name} is {value}; it must be at least 1")
        if self.stop_loss is not None:
            check_number("stop_loss", self.stop_loss)
        if self.stop_seconds is not None and not self.stop_seconds > 0:
            raise FuseError(f"stop_seconds is {self.stop_seconds}; it must be above 0")

    def spent(self, search: TargetSearch[Any]) -> bool:
        """Whether a search has used up its steps or its time."""
        late = self.stop_seconds is not None and search.seconds >= self.stop_seconds
        return search.step >= self.steps or late

    def reached(self, search: TargetSearch[Any]) -> bool:
        """Whether a search has found a prompt that is good enough."""
        if self.stop_loss is None or search.best is None:
            return False
        return search.best.loss <= self.stop_loss

    def stalled(self, search: TargetSearch[Any], since: int) -> bool:
        """Whether too many steps after ``since`` brought no better prompt."""
        return self.patience is not None and search.step - since >= self.patience
