import pytest

from tests import lookalikes, tiny
from tests.objectives.causal import NAMES


@pytest.fixture(scope="session")
def causal_folders(tmp_path_factory):
    """Folders of small causal language models by name."""
    root = tmp_path_factory.mktemp("causal")
    made = {
        name: getattr(lookalikes, name)(root / name) for name in NAMES if hasattr(lookalikes, name)
    }
    return {**made, "tiny": tiny.gpt2(root / "tiny"), "zoo": "zoo/gpt2"}
