"""Curves of a search for the loggers: losses, and what the targets have used."""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from fuse_lightning.search.target_search import TargetSearch


def curves(searches: Sequence[TargetSearch[Any]], names: Sequence[str]) -> dict[str, float]:
    """Means over the targets of a batch: of their best losses, and of what they have used.

    What was used can be the other axis of a plot of the losses. Empty without a prompt.

    Args:
        searches: The searches of the batch.
        names: Names of the losses.
    """
    found = [search.best for search in searches if search.best is not None]
    if not found:
        return {}
    columns = zip(*([best.loss, *best.losses] for best in found), strict=True)
    losses = zip(["best", *names], columns, strict=True)
    used = ("evaluations", "tokens", "flops")
    return {f"train/{name}": fmean(values) for name, values in losses} | {
        f"used/{name}": fmean(getattr(search, name) for search in searches) for name in used
    }
