import os

# The hub client reads this once, when it is imported: tests never reach for a network.
os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
from hypothesis import settings

# How long an example takes says how busy the machine is.
settings.register_profile("any time", deadline=None)
settings.load_profile("any time")


def pytest_collectstart():
    """Imports what takes seconds; the process that hands out tests to others collects nothing."""
    # Lightning keeps the error stream it finds when it is imported: it must not be that of a test.
    import lightning  # noqa: F401

    use_one_thread()


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
    return tmp_path


@pytest.fixture(autouse=True)
def one_thread():
    """Whatever threads a test asks for, the next has one."""
    yield
    use_one_thread()
