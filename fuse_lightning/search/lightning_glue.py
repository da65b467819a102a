"""Checks and settings of Lightning's trainer for a search."""

from collections.abc import Iterable
from typing import Any

import lightning as L
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins import MixedPrecision

from fuse_lightning.data import TargetDataModule
from fuse_lightning.errors import FuseError
from fuse_lightning.search.distributed import PromptStrategy
from fuse_lightning.search.frontier import Frontier


def callbacks_of(trainer: L.Trainer) -> list[Callback]:
    """Callbacks of a trainer, as a list that may be changed."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return callbacks


def data_of(trainer: L.Trainer) -> TargetDataModule | None:
    """Data module of a trainer; ``None`` if it has none of targets."""
    data: Any = trainer.datamodule  # type: ignore[attr-defined]
    return data if isinstance(data, TargetDataModule) else None


def frontiers_of(trainer: L.Trainer) -> list[Frontier[Any]]:
    """Frontiers among a trainer's callbacks."""
    return [each for each in callbacks_of(trainer) if isinstance(each, Frontier)]


def check_trainer(trainer: L.Trainer) -> None:
    """Checks that a trainer neither averages gradients nor saves in the middle of a step.

    Raises:
        FuseError: If the strategy averages, or a callback saves in the middle of a step.
    """
    strategy = trainer.strategy
    if trainer.world_size > 1 and not isinstance(strategy, PromptStrategy):
        raise FuseError(
            f"trainer.strategy is {type(strategy).__name__}, which averages gradients that "
            "searches do not have; give strategy: prompts"
        )
    # There is no public way to it where there is one device.
    environment = trainer._accelerator_connector.cluster_environment
    if isinstance(environment, SLURMEnvironment):
        # Lightning would write one wherever the cluster's signal finds the search.
        environment.auto_requeue = False
    for each in trainer.checkpoint_callbacks:
        if getattr(each, "save_on_exception", False):
            raise FuseError(
                "ModelCheckpoint saves on exceptions, in the middle of a step, which cannot be "
                "resumed; give every_n_train_steps or train_time_interval"
            )


def check_one_frontier(callbacks: Iterable[Callback]) -> None:
    """Checks that there is at most one frontier among callbacks.

    Raises:
        FuseError: If there are several.
    """
    names = [type(each).__name__ for each in callbacks if isinstance(each, Frontier)]
    if len(names) > 1:
        raise FuseError(f"trainer.callbacks hold {' and '.join(names)}; give one of them")


def settle_trainer(trainer: L.Trainer) -> None:
    """Prepares a trainer for a search, also one that has searched before.

    Raises:
        FuseError: If it has two frontiers.
    """
    check_one_frontier(callbacks_of(trainer))
    # It would count its epochs on, and stop at once.
    for name in ("ready", "started", "processed", "completed"):
        setattr(trainer.fit_loop.epoch_progress.current, name, 0)


def settle_precision(trainer: L.Trainer) -> None:
    """Limits a trainer's precision to the models' forwards.

    Raises:
        FuseError: If it would be that of all numbers.
    """
    plugin = trainer.precision_plugin
    if plugin.precision.endswith("-true") and plugin.precision != "32-true":
        raise FuseError(
            f"trainer.precision {plugin.precision!r} would also be that of losses and their sums; "
            "give 'bf16-mixed', or '32-true' and models a dtype of their own"
        )
    if isinstance(plugin, MixedPrecision):
        # It scales the loss of a training, and there is none.
        plugin.scaler = None
