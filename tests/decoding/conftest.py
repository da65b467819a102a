import pytest
from transformers import AutoModelForCausalLM

from tests.decoding.networks import OTHERS
from tests.factories.fixtures import family, folder, load, network

__all__ = ["family", "folder", "load", "network", "network_of"]


@pytest.fixture(scope="session")
def network_of(folder):
    """A network by the name of its family, for all tests; nothing ends its texts."""
    made = {}

    def get(name):
        if name not in made:
            of_hub = AutoModelForCausalLM.from_pretrained
            made[name] = OTHERS[name]() if name in OTHERS else of_hub(folder(name))
            made[name].generation_config.eos_token_id = None
            made[name].generation_config.pad_token_id = 0
        return made[name].eval()

    return get
