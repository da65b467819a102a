"""What Lightning's trainer offers and a search cannot use; and what Lightning says of the rest."""

import sysconfig
from collections.abc import Iterable
from pathlib import Path
from traceback import walk_tb
from typing import Any

import lightning
import lightning.pytorch.callbacks as lightning_callbacks
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import SingleDeviceStrategy

from fuse_lightning.errors import FuseError
from fuse_lightning.search import Frontier
from fuse_lightning.search.distributed import PromptStrategy

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
"""How names of strategies begin that a search can use."""
HERE = Path(__file__).parents[1]
LIGHTNING = Path(lightning.__file__).parent
LIBRARIES = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]


def check_callbacks(callbacks: Iterable[Callback]) -> None:
    """Refuses callbacks that a search cannot use, before any model is loaded.

    Raises:
        FuseError: If there is one, or there are two frontiers.
    """
    found = [*callbacks]
    names = [type(each).__name__ for each in found if isinstance(each, Frontier)]
    if len(names) > 1:
        raise FuseError(f"trainer.callbacks hold {' and '.join(names)}; give one of them")
    for name, reason in UNSUITED.items():
        kind = getattr(lightning_callbacks, name, None)
        for each in found:
            if kind is not None and isinstance(each, kind):
                raise FuseError(
                    f"trainer.callbacks hold {type(each).__name__}, which {reason}; remove it"
                )


def check_strategy(strategy: Any) -> None:
    """Refuses strategies that average gradients or share weights out.

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


def is_complaint(error: BaseException) -> bool:
    """Whether Lightning itself raised an error, alone or by a library that it called.

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
