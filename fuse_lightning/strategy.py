"""Several devices, each searching prompts of its own."""

from itertools import groupby, zip_longest
from typing import Any, TypeVar

import torch.distributed as dist
from lightning.pytorch.strategies import DDPStrategy, StrategyRegistry

from fuse_lightning.results import Result

T = TypeVar("T")


class PromptStrategy(DDPStrategy):
    """Processes that share targets and nothing else: nothing is averaged, nothing is wrapped.

    Registered as ``prompts``: ``Trainer(strategy="prompts", devices=2)``. ``fuse fit`` takes it by
    itself where there are several devices or nodes.
    """

    def configure_ddp(self) -> None:
        """Does nothing: prompts have no gradients that the wrapper could reduce."""


def gather(value: T) -> list[T]:
    """The values of all processes, by rank; every process must ask at the same point."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def dealt(shares: list[list[T]]) -> list[T]:
    """One list of what was dealt out in turns: rank 0 has the first, rank 1 the second."""
    missing: Any = object()
    rounds = zip_longest(*shares, fillvalue=missing)
    return [value for row in rounds for value in row if value is not missing]


def gathered(results: list[Result]) -> list[Result]:
    """The results of all processes, in the order of the targets that were dealt out."""
    shares = [
        [list(rows) for _, rows in groupby(share, key=lambda result: result.target)]
        for share in gather(results)
    ]
    return [result for rows in dealt(shares) for result in rows]


StrategyRegistry.register("prompts", PromptStrategy, "Processes that share targets alone.")
