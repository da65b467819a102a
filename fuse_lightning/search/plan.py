"""Plan of a search: what its steps will cost, and how many of them its budgets allow."""

import math
from dataclasses import asdict, dataclass
from typing import Any

from fuse_lightning.search.limits import BUDGETS, Limits

FEW = 3
"""Steps below which a search is hardly one."""


@dataclass(frozen=True)
class Cost:
    """Estimated cost of a part of a search.

    >>> (Cost(10, 200.0, 1.0, 5.0) + Cost(1, 20.0, 0.5, 0.5)) * 2
    Cost(evaluations=22, tokens=440.0, seconds=3.0, flops=11.0)

    Attributes:
        evaluations: Prompts scored, or pairs of a prompt and an example.
        tokens: Positions that models read.
        seconds: Wall time.
        flops: Floating-point operations of the models.
    """

    evaluations: float = 0
    tokens: float = 0.0
    seconds: float = 0.0
    flops: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(*(getattr(self, name) + getattr(other, name) for name in BUDGETS))

    def __mul__(self, factor: float) -> "Cost":
        return Cost(*(getattr(self, name) * factor for name in BUDGETS))


@dataclass(frozen=True)
class Plan:
    """Estimated cost of the search of one target.

    Attributes:
        candidates: Candidates of a step.
        start: Cost before the first step.
        step: Cost of a step.
        limits: Limits of the search.
    """

    candidates: int
    start: Cost
    step: Cost
    limits: Limits

    @property
    def allowed(self) -> tuple[int, str]:
        """Number of steps that are allowed, and the option that allows no more.

        A target ends after the step that uses a budget up.
        """
        found = [(self.limits.steps, "steps")]
        for name in BUDGETS:
            most, each = self.limits.budget(name), getattr(self.step, name)
            if most is not None and each > 0:
                left = most - getattr(self.start, name)
                found.append((max(1, math.ceil(left / each)), f"max_{name}"))
        return min(found, key=lambda pair: pair[0])

    @property
    def total(self) -> Cost:
        """Cost of all steps that are allowed."""
        return self.start + self.step * self.allowed[0]

    def reasons(self) -> list[str]:
        """Reason why the search would not pay; empty if there is none."""
        steps, option = self.allowed
        if steps >= FEW or option == "steps":
            return []
        return [f"the budget allows about {steps} steps: raise {option}"]

    def to_dict(self) -> dict[str, Any]:
        """All figures by name, as plain data."""
        steps, option = self.allowed
        return {
            "candidates": self.candidates,
            "step": asdict(self.step),
            "steps": steps,
            "limited_by": option,
            "total": asdict(self.total),
        }


def about(number: float) -> str:
    """A number with two digits that count.

    >>> about(1234567), about(0.0123), about(7.0), about(0)
    ('1 200 000', '0.012', '7', '0')
    """
    if not number:
        return "0"
    digits = 1 - math.floor(math.log10(abs(number)))
    rounded = round(number, digits)
    if rounded == int(rounded):
        return f"{int(rounded):,}".replace(",", " ")
    return f"{rounded:.{max(0, digits)}f}"


def duration(seconds: float) -> str:
    """A duration in the unit that suits it.

    >>> duration(0.25), duration(95), duration(4000), duration(200_000)
    ('0.25 s', '95 s', '67 min', '56 h')
    """
    for size, unit in ((3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{about(seconds / size)} {unit}"
    return f"{about(seconds)} s"
