import gc
import logging
import os

# The hub client reads this once, when it is imported: tests never reach for a network.
os.environ["HF_HUB_OFFLINE"] = "1"

from itertools import chain

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is.
settings.register_profile("any time", deadline=None)
# For what is run a second time, with other kernels: rounding shows in few examples.
settings.register_profile("again", deadline=None, max_examples=20)
settings.load_profile("any time")


def pytest_collectstart():
    """Imports what takes seconds; the process that hands out tests to others collects nothing."""
    # The collector would look through what is imported again and again, and find nothing.
    gc.disable()
    # Lightning keeps the error stream it finds when it is imported: it must not be that of a test.
    import lightning  # noqa: F401

    # Lightning keeps what it logs to itself if it is imported before pytest listens.
    for name in ("lightning.pytorch", "lightning.fabric"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    use_one_thread()


def pytest_collection_finish():
    """Lets the collector begin, with what comes after the imports."""
    gc.freeze()
    gc.enable()


def pytest_unconfigure():
    """Gives memory back as a whole."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter):
    """Says how long the quick part took, so that nobody need guess what to mark as slow."""
    seconds = {True: 0.0, False: 0.0}
    for report in chain.from_iterable(terminalreporter.stats.values()):
        if hasattr(report, "duration"):
            seconds["slow" in report.keywords] += report.duration
    if any(seconds.values()):
        quick, slow = (f"{seconds[mark]:.0f} s" for mark in (False, True))
        terminalreporter.write_line(f"{quick} in tests of the quick part, {slow} in slow ones")


def use_one_thread():
    # Small tensors are slower on several threads, sums depend on how many there are, and test
    # processes beside each other would wait for each other's. Also before fixtures of modules.
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Whatever a test writes, adapters included, lands in its own folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FUSE_LIGHTNING_CACHE", str(tmp_path / "cache"))
    # Torch finds compiled code by the graph alone, also code for a processor that can do more.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    return tmp_path


@pytest.fixture
def double(monkeypatch):
    """Models and losses are float64 where they would be float32.

    A search compares numbers. In float32 two of them may differ by rounding alone, which kernels,
    threads and batches decide; in float64 that does not happen, and there is one way to go.
    """
    import torch

    from tests.precision import use_double

    single = torch.float32
    use_double(monkeypatch)
    yield
    torch.set_default_dtype(single)


@pytest.fixture(autouse=True)
def one_thread():
    """Whatever threads a test asks for, the next has one."""
    yield
    use_one_thread()
