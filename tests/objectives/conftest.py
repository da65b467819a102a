import pytest

from tests.factories import tiny
from tests.factories.causal_lms import CAUSAL_LMS
from tests.factories.fixtures import folder, folders, in_double, load
from tests.objectives.causal import NAMES

__all__ = ["causal_folders", "folder", "folders", "in_double", "load"]


@pytest.fixture(scope="session")
def causal_folders(tmp_path_factory):
    """Folders of small causal language models by name."""
    root = tmp_path_factory.mktemp("causal")
    made = {name: CAUSAL_LMS[name](root / name) for name in NAMES if name in CAUSAL_LMS}
    return {**made, "tiny": tiny.gpt2(root / "tiny"), "zoo": "zoo/gpt2"}
