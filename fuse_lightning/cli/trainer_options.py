"""Checks of trainer options that a search cannot use, and of errors that Lightning raises."""

import sysconfig
from collections.abc import Iterable
from pathlib import Path
from traceback import walk_tb
from typing import Any

import lightning
import lightning.pytorch.callbacks as lightning_callbacks
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import SingleDeviceStrategy

from fuse_lightning.errors import FuseError
from fuse_lightning.search.distributed import PromptStrategy
from fuse_lightning.search.lightning_glue import check_one_frontier

WEIGHTS = "changes weights, which a search keeps as they are"
RATES = "is about learning rates, which a search does not have"
# By name: a release of Lightning may lack some.
UNSUITED = {
    "BaseFinetuning": WEIGHTS,
    "ModelPruning": WEIGHTS,
    "StochasticWeightAveraging": WEIGHTS,
    "WeightAveraging": WEIGHTS,
    "LearningRateFinder": RATES,
    "LearningRateMonitor": RATES,
    "GradientAccumulationScheduler": "gathers gradients of batches, which a search does not have",
    "BatchSizeFinder": "tries batches of a training; data.batch_size is how many targets there are",
    "SpikeDetection": "watches the loss of a training step, which a search does not have",
    "OnExceptionCheckpoint": "saves in the middle of a step, which cannot be resumed",
}
STRATEGIES = ("auto", "prompts", "single_")
"""Beginnings of the names of strategies that a search can use."""
HERE = Path(__file__).parents[1]
LIGHTNING = Path(lightning.__file__).parent
LIBRARIES = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]


def check_callbacks(callbacks: Iterable[Callback]) -> None:
    """Refuses callbacks that a search cannot use.

    Raises:
        FuseError: If there is one, or there are two frontiers.
    """
    given = [*callbacks]
    check_one_frontier(given)
    for name, reason in UNSUITED.items():
        kind = getattr(lightning_callbacks, name, None)
        for each in given:
            if kind is not None and isinstance(each, kind):
                raise FuseError(
                    f"trainer.callbacks hold {type(each).__name__}, which {reason}; remove it"
                )


def check_strategy(strategy: Any) -> None:
    """Refuses strategies that average gradients or shard weights.

    Raises:
        FuseError: If this is one.
    """
    if isinstance(strategy, PromptStrategy | SingleDeviceStrategy):
        return
    if isinstance(strategy, str) and strategy.startswith(STRATEGIES):
        return
    name = strategy if isinstance(strategy, str) else type(strategy).__name__
    raise FuseError(
        f"trainer.strategy is {name!r}; a search shares targets out and nothing else: leave it "
        "out, or give 'prompts'"
    )


def averages(trainer: Any) -> bool:
    """Whether Lightning would choose a strategy that averages gradients, as on several devices.

    Args:
        trainer: The trainer's options, as parsed.
    """
    if trainer["strategy"] != "auto":
        return False
    devices = trainer["devices"]
    if devices == "auto" or str(devices) == "-1":
        on_cpu = trainer["accelerator"] == "cpu"
        devices = 1 if on_cpu else torch.cuda.device_count()
    elif isinstance(devices, str) and not devices.isdecimal():
        devices = devices.strip(",").split(",")
    count = len(devices) if isinstance(devices, list) else int(devices)
    return count > 1 or trainer["num_nodes"] > 1


def is_complaint(error: BaseException) -> bool:
    """Whether Lightning itself raised an error, directly or in a library that it called.

    What was raised in this package, or in code of a user, is a mistake there.
    """
    for frame, _ in reversed([*walk_tb(error.__traceback__)]):
        path = Path(frame.f_code.co_filename)
        if path.is_relative_to(HERE):
            return False
        if path.is_relative_to(LIGHTNING):
            return True
        if path.is_absolute() and not any(path.is_relative_to(folder) for folder in LIBRARIES):
            return False
    return False
