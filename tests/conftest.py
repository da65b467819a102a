import os

# The hub client reads this once, when it is imported: tests never reach for a network.
os.environ["HF_HUB_OFFLINE"] = "1"

# Lightning keeps the error stream it finds when it is imported: it must not be that of one test.
import lightning  # noqa: F401
import pytest
import torch


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Whatever a test writes, adapters included, lands in its own folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FUSE_LIGHTNING_CACHE", str(tmp_path / "cache"))
    return tmp_path


@pytest.fixture(autouse=True)
def one_thread():
    """Small tensors are slower on several threads, and sums depend on how many there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
