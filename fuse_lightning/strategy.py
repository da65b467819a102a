"""Several devices, each searching prompts of its own."""

from typing import Any, TypeVar

import lightning as L
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


def gathered(results: list[Result], trainer: L.Trainer) -> list[Result]:
    """The results of all processes, in the order of the data module's targets."""
    # A checkpoint written after a fit holds the results of all devices on each.
    found = {(row.target, row.rank): row for share in gather(results) for row in share}.values()
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    places = {target.id: place for place, target in enumerate(data.targets if data else [])}
    return sorted(found, key=lambda result: places.get(result.target, len(places)))


StrategyRegistry.register("prompts", PromptStrategy, "Processes that share targets alone.")
