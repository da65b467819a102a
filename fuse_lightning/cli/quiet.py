"""Filters of log messages and warnings: useless ones are dropped, the others get one line each."""

import logging
import os
import threading
from typing import TextIO

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.silence import NEWS, expect_warnings, is_warning
from fuse_lightning.utilities.terminal import bars_away, hush, say

USELESS = ("Tip:", "stopped: `max_epochs=1` reached", "TPU available: False")
"""Parts of Lightning's messages that tell nothing of a search."""


def quiet() -> None:
    """Installs the filters; only the command line calls it."""
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    expect_warnings()
    # It logs every cast in every forward.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    for name in NEWS:
        logging.getLogger(name).addFilter(_is_news)
    threading.excepthook = _thread_ended


class OwnLines(logging.Handler):
    """Log handler that writes messages of this package to stderr, above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a message."""
        say(self.format(record), error=True)


class LinesAboveBars(logging.StreamHandler[TextIO]):
    """Log handler that writes a library's messages to its own stream, above a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a message."""
        with bars_away(self.stream):
            super().emit(record)


def keep_lines_apart() -> None:
    """Installs log handlers that write above progress bars; call it after importing Lightning."""
    own = logging.getLogger("fuse_lightning")
    if not any(isinstance(each, OwnLines) for each in own.handlers):
        own.addHandler(OwnLines())
    for name in ("lightning.pytorch", "lightning.fabric"):
        logger = logging.getLogger(name)
        for handler in [*logger.handlers]:
            if type(handler) is logging.StreamHandler:
                apart = LinesAboveBars(handler.stream)
                apart.setLevel(handler.level)
                apart.setFormatter(handler.formatter)
                logger.removeHandler(handler)
                logger.addHandler(apart)


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a message of Lightning tells something: no tip, nor that one epoch is enough."""
    text = record.getMessage()
    return not any(useless in text for useless in USELESS)


def _thread_ended(args: threading.ExceptHookArgs) -> None:
    # What TensorBoard's thread cannot write is an error of the search itself, a step later.
    if not issubclass(args.exc_type, OSError):
        threading.__excepthook__(args)


QUIET = ("-q", "--quiet")


def quiet_words(words: list[str]) -> list[str]:
    """The words of ``fuse fit`` without ``-q``, which silences all but warnings and errors.

    Raises:
        FuseError: If another command has it.
    """
    rest = [word for word in words if word not in QUIET]
    if len(rest) == len(words):
        return words
    if words[0] != "fit":
        raise FuseError(f"{QUIET[0]} silences fuse fit alone; leave it out")
    hush()
    for name in NEWS:
        logging.getLogger(name).addFilter(is_warning)
    return [*rest, "--trainer.enable_progress_bar=false"]


def quiet_transformers() -> None:
    """Turns off transformers' progress bars and warnings."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
