"""Means and counts with their better direction and unit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torchmetrics import MeanMetric, Metric, SumMetric

DIGITS = 3


class Mean(MeanMetric):
    """Mean of numbers without a better direction, such as a length.

    Args:
        unit: Unit of the numbers, such as "words".

    >>> metric = Mean("words")
    >>> metric.update([3, 5])
    >>> metric.compute()
    tensor(4.)
    """

    def __init__(self, unit: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.unit = unit

    def update(  # type: ignore[override]
        self,
        value: Tensor | Sequence[float] | float,
        weight: Tensor | Sequence[float] | float = 1.0,
    ) -> None:
        """Adds numbers from any device; there may be none.

        Args:
            value: One number or many, of any shape.
            weight: How much each counts, of the same shape, or one weight for all.
        """
        there = partial(torch.as_tensor, dtype=self.dtype, device=self.device)
        super().update(there(value), there(weight))


class MeanScore(Mean):
    """Mean of numbers where higher is better, such as a share of right answers.

    Args:
        unit: Unit of the numbers.

    >>> metric = MeanScore("share")
    >>> metric.update(torch.tensor([1.0, 0.0, 1.0, 1.0]))
    >>> metric.compute()
    tensor(0.7500)
    >>> metric.higher_is_better
    True
    """

    higher_is_better = True  # type: ignore[assignment]


class MeanCost(Mean):
    """Mean of numbers where lower is better, such as seconds.

    Args:
        unit: Unit of the numbers.

    >>> metric = MeanCost("seconds")
    >>> metric.update(2.0)
    >>> metric.update(4.0)
    >>> metric.compute()
    tensor(3.)
    >>> metric.higher_is_better
    False
    """

    higher_is_better = False  # type: ignore[assignment]


class MeanLoss(MeanCost):
    """Mean loss of a term itself; lower is better.

    A term's default :meth:`~fuse_lightning.objectives.Term.update_metrics` fills it.

    Args:
        unit: Unit of the loss.

    >>> metric = MeanLoss("nats per token")
    >>> metric.update(torch.tensor([1.0, 3.0]), torch.tensor([1.0, 0.5]))
    >>> metric.compute()
    tensor(1.6667)
    """


class Count(SumMetric):
    """Sum of whole numbers without a better direction.

    Args:
        unit: Name of the counted things.

    >>> metric = Count("targets")
    >>> metric.update(2)
    >>> metric.update(3)
    >>> describe(metric)
    About(higher_is_better=None, unit='targets', digits=0)
    """

    digits = 0

    def __init__(self, unit: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.unit = unit


@dataclass(frozen=True)
class About:
    """Direction, unit and digits of a metric's figure.

    Attributes:
        higher_is_better: Direction; ``None`` for neither.
        unit: Unit; "" for a plain number.
        digits: Digits behind the point in a table.
    """

    higher_is_better: bool | None = None
    unit: str = ""
    digits: int = DIGITS

    @property
    def arrow(self) -> str:
        """Arrow in the better direction; empty if there is none.

        >>> About(True).arrow, About(False).arrow, About().arrow
        ('↑', '↓', '')
        """
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]


def describe(metric: Metric) -> About:
    """Direction, unit and digits of any metric of torchmetrics.

    The direction is the metric's own ``higher_is_better``. Unit and digits are its attributes
    ``unit`` and ``digits``, where it has them.

    >>> from torchmetrics.text import CharErrorRate
    >>> describe(CharErrorRate())
    About(higher_is_better=False, unit='', digits=3)
    """
    better = metric.higher_is_better
    return About(
        None if better is None else bool(better),
        str(getattr(metric, "unit", "")),
        int(getattr(metric, "digits", DIGITS)),
    )
