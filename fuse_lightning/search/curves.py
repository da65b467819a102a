"""Curves of a search for the loggers: losses, and what the targets have used."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fuse_lightning.results.result import Result
from fuse_lightning.search.target_search import TargetSearch

USED = ("evaluations", "tokens", "flops")


class RunMeans:
    """Means over all targets of a run so far: those that have ended, and those of the batch.

    Each result is looked at once.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.read = self.ended = 0
        self.sums: dict[str, float] = defaultdict(float)

    def told(
        self,
        results: Sequence[Result],
        searches: Sequence[TargetSearch[Any]],
        names: Sequence[str],
    ) -> dict[str, float]:
        """Means of the best losses and of what was used; empty without a prompt.

        What was used can be the other axis of a plot of the losses.

        Args:
            results: The results so far, of which there may be more at the next call.
            searches: The searches of the batch; those that are done have a result.
            names: Names of the losses.
        """
        if len(results) < self.read:
            # They are those of a new run.
            self._begin()
        for result in results[self.read :]:
            if result.rank == 1:
                self._add(self.sums, result.loss, result.losses, result)
                self.ended += 1
        self.read = len(results)
        sums, running = defaultdict(float, self.sums), 0
        for search in searches:
            if search.best is not None and not search.done:
                losses = dict(zip(names, search.best.losses, strict=True))
                self._add(sums, search.best.loss, losses, search)
                running += 1
        count = self.ended + running
        return {name: total / count for name, total in sums.items()} if count else {}

    def _add(
        self, sums: dict[str, float], best: float, losses: dict[str, float], used: Any
    ) -> None:
        sums["train/best"] += best
        for name, loss in losses.items():
            sums[f"train/{name}"] += loss
        for name in USED:
            sums[f"used/{name}"] += getattr(used, name)


def by_own_steps(results: Iterable[Result]) -> dict[str, list[tuple[int, float]]]:
    """Best loss over the targets' own steps: mean and quartiles over the targets.

    A target that has ended keeps its last loss. Steps begin where every target has a prompt.

    Returns:
        Points (step, loss) of ``mean``, ``lower`` and ``upper`` quartile; empty where no result has
        a curve.

    >>> one = Result("a", "x", [], 1.0, {}, 3, 0, 0.0, curve=[(1, 3.0), (3, 1.0)])
    >>> other = Result("b", "y", [], 2.0, {}, 2, 0, 0.0, curve=[(2, 2.0)])
    >>> by_own_steps([one, other])["mean"]
    [(2, 2.5), (3, 1.5)]
    """
    curves = [result.curve for result in results if result.rank == 1 and result.curve]
    if not curves:
        return {}
    first = max(curve[0][0] for curve in curves)
    steps = sorted({step for curve in curves for step, _ in curve if step >= first} | {first})
    losses = np.array([_held(curve, steps) for curve in curves])
    lower, upper = np.quantile(losses, (0.25, 0.75), axis=0)
    told = {"mean": losses.mean(0), "lower": lower, "upper": upper}
    return {name: [*zip(steps, map(float, values), strict=True)] for name, values in told.items()}


def _held(curve: Sequence[tuple[int, float]], steps: Sequence[int]) -> list[float]:
    """Loss of a curve at some steps: the last one known."""
    known = [step for step, _ in curve]
    places = np.searchsorted(known, steps, side="right") - 1
    return [curve[place][1] for place in places]
