"""Silence for messages of libraries that a user of the command line cannot act on."""

import logging
import os
import threading
import warnings

# Message, category, reason.
EXPECTED: tuple[tuple[str, type[Warning], str], ...] = (
    (r".*isinstance\(treespec, LeafSpec\).*", FutureWarning, "lightning on torch 2.13"),
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


def quiet() -> None:
    """Installs the filters; called by the command line, never at import."""
    os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    for message, category, _ in EXPECTED:
        warnings.filterwarnings("ignore", message=message, category=category)
    # It tells of every cast in every forward.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).addFilter(lambda record: "Tip:" not in record.getMessage())
    threading.excepthook = _thread_ended


def _thread_ended(args: threading.ExceptHookArgs) -> None:
    # What TensorBoard's thread cannot write is an error of the search itself, a step later.
    if not issubclass(args.exc_type, OSError):
        threading.__excepthook__(args)


def quiet_transformers() -> None:
    """No progress bars while small weights load."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
