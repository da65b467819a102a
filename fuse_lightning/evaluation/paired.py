"""Paired tests: two prompts on the same examples."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import binomtest, norm
from scipy.stats import t as student
from torch import Tensor

from fuse_lightning.utilities.numbers import check_number

ALPHA = 0.05
"""Share of false alarms that a test allows, for both directions together."""
POWER = 0.8
"""Chance to show a true difference that :func:`needed_examples` plans for."""


def wins_and_losses(first: Tensor, second: Tensor) -> tuple[int, int]:
    """Numbers of examples that only the first, or only the second, answers rightly.

    Args:
        first: Whether the first is right on each example, shape ``(E,)``.
        second: The same of the second.

    >>> wins_and_losses(torch.tensor([True, True, False]), torch.tensor([False, True, False]))
    (1, 0)
    """
    return int((first & ~second).sum()), int((second & ~first).sum())


def mcnemar(wins: int, losses: int) -> float:
    """P value of McNemar's exact test, for both directions.

    Under no true difference each example on which the two differ is a fair coin.

    Args:
        wins: Number of examples that only the first answers rightly.
        losses: Number of examples that only the second answers rightly.

    >>> mcnemar(6, 0), mcnemar(0, 0)
    (0.03125, 1.0)
    """
    if not wins + losses:
        return 1.0
    return float(binomtest(wins, wins + losses).pvalue)


def holm(values: Sequence[float]) -> list[float]:
    """P values adjusted for their number by Holm's method, in the given order.

    The chance of any false alarm among all of them stays below the level that they are held
    against (Holm, Scandinavian Journal of Statistics 6, 1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    adjusted = [1.0] * len(values)
    highest = 0.0
    for place, index in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        highest = max(highest, min(1.0, (len(values) - place) * values[index]))
        adjusted[index] = highest
    return adjusted


def needed_examples(
    wins: int, losses: int, examples: int, alpha: float = ALPHA, power: float = POWER
) -> int | None:
    """Number of examples that would show a difference as large as the observed one.

    The shares of wins and losses are taken for the true ones (Connor, Biometrics 43, 1987). One
    example for each unit of the difference is added, as the exact test asks for more than the
    approximate one.

    Args:
        wins: Number of examples that only the first answers rightly.
        losses: Number of examples that only the second answers rightly.
        examples: Number of all examples.
        alpha: Level of the test, for both directions together.
        power: Wanted chance that :func:`mcnemar` stays below ``alpha``.

    Returns:
        The number; ``None`` where there is no difference to show.

    >>> needed_examples(60, 30, 400), needed_examples(5, 5, 400)
    (325, None)
    """
    if wins == losses:
        return None
    differing = (wins + losses) / examples
    difference = abs(wins - losses) / examples
    spread = math.sqrt(max(differing - difference**2, 0.0))
    level, chance = float(norm.isf(alpha / 2)), float(norm.isf(1 - power))
    root = level * math.sqrt(differing) + chance * spread
    # So many wins without a loss are the fewest that the exact test can ever tell.
    fewest = math.ceil(math.log2(2 / alpha))
    return max(fewest, math.ceil((root / difference) ** 2 + 1 / difference))


def paired_worse(differences: Tensor, alpha: float) -> Tensor:
    """Whether losses are worse than another's, by a one-sided paired t test.

    A race drops the candidates that are worse, as in CAPO (arXiv 2504.16005).

    Args:
        differences: Each candidate's loss less the other's loss on the same examples, lower is
            better, shape ``(N, E)``.
        alpha: Level of the test, above 0 and below 1.

    Returns:
        Whether each candidate is worse, shape ``(N,)``. Of fewer than two examples nothing can be
        told. Where all differences are the same, their sign tells. An infinite loss is worse than
        a finite one; a NaN tells nothing.

    Raises:
        FuseError: If ``alpha`` is out of range.

    >>> paired_worse(torch.tensor([[0.9, 1.1, 1.0], [0.9, -1.1, 1.0]]), alpha=0.2)
    tensor([ True, False])
    """
    check_number("alpha", alpha, 0, 1)
    count, examples = differences.shape
    if examples < 2:
        return torch.zeros(count, dtype=torch.bool, device=differences.device)
    values = differences.detach().double().cpu().numpy()
    # Equal differences have no error: their t is infinite, or NaN where they are 0.
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = values.mean(1)
        error = values.std(1, ddof=1) / math.sqrt(examples)
        told = student.sf(mean / error, examples - 1) < alpha
    worse = told | (mean == math.inf)
    return torch.from_numpy(worse).to(differences.device)
