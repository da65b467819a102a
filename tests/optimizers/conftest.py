import pytest

from tests import tiny
from tests.optimizers.runs import write_pictures


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: getattr(tiny, name)(folder / name) for name in ("gpt2", "clip", "classifier")}


@pytest.fixture
def pictures(tmp_path):
    """In the current folder: names, and with them random streams, are the same in every run."""
    return write_pictures(tmp_path / "pictures")
