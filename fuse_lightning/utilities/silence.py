"""Messages of libraries that tell nothing of a search, and contexts without them."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Message, category, reason.
EXPECTED: tuple[tuple[str, type[Warning], str], ...] = (
    (r".*isinstance\(treespec, LeafSpec\).*", FutureWarning, "lightning on torch 2.13"),
    (
        r".*`is_gradient_checkpointing` is deprecated.*",
        FutureWarning,
        "peft 0.21 on transformers 5.24",
    ),
    (r".*does not have many workers.*", UserWarning, "the loader reads no data in workers"),
    (
        r".*`ModelCheckpoint` with manual optimization.*",
        UserWarning,
        "state after the step is meant",
    ),
    (r".*ModelCheckpoint.*manual optimization.*", UserWarning, "state after the step is meant"),
    (r"LightningCLI's args parameter.*", UserWarning, "words that stand for many"),
    (r".*Checkpoint directory .* exists and is not empty.*", UserWarning, "a resumed run"),
    (r".*Total length of .* across ranks is zero.*", UserWarning, "a run that is complete"),
    (r".*Experiment logs directory .* exists and is not.*", UserWarning, "the folder is taken"),
    (r".*The dirpath has changed from .*", UserWarning, "a run's own paths are absolute"),
)
"""Warnings of libraries about what is meant."""
NEWS = ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero")
"""Loggers of Lightning's news."""


def expect_warnings() -> None:
    """Adds filters that drop the :data:`EXPECTED` warnings."""
    for message, category, _ in EXPECTED:
        warnings.filterwarnings("ignore", message=message, category=category)


@contextmanager
def lightning_at_rest() -> Iterator[None]:
    """Context in which Lightning tells no news, of a trainer that is a part of a command alone."""
    loggers = [logging.getLogger(name) for name in NEWS]
    for logger in loggers:
        logger.addFilter(is_warning)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(is_warning)


def is_warning(record: logging.LogRecord) -> bool:
    """Whether a message is a warning or worse."""
    return record.levelno > logging.INFO


@contextmanager
def silence() -> Iterator[None]:
    """Context without news of Lightning, expected warnings, and bars of transformers."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), lightning_at_rest():
            expect_warnings()
            yield
    finally:
        if shown:
            transformers_logging.enable_progress_bar()
