"""What a trainer must not be told in a search."""

from collections.abc import Iterable

import lightning as L
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from fuse_lightning.errors import FuseError
from fuse_lightning.search import Frontier
from fuse_lightning.search.distributed import PromptStrategy


def check_trainer(trainer: L.Trainer) -> None:
    """Refuses strategies that average, and prevents checkpoints in the middle of a step.

    Raises:
        FuseError: If there is one.
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


def check_one_frontier(callbacks: Iterable[L.Callback]) -> None:
    """Checks that callbacks hold one search strategy at most.

    Raises:
        FuseError: If there are several.
    """
    names = [type(each).__name__ for each in callbacks if isinstance(each, Frontier)]
    if len(names) > 1:
        raise FuseError(f"trainer.callbacks hold {' and '.join(names)}; give one of them")


def settle_trainer(trainer: L.Trainer) -> None:
    """Lets a trainer search, also one that has searched before.

    Raises:
        FuseError: If it has two search strategies.
    """
    check_one_frontier(trainer.callbacks)  # type: ignore[attr-defined]
    # It would count its epochs on, and stop at once.
    for name in ("ready", "started", "processed", "completed"):
        setattr(trainer.fit_loop.epoch_progress.current, name, 0)
