import pytest

from tests.models.conftest import family, folder, load

__all__ = ["family", "folder", "load", "loaded"]


@pytest.fixture
def loaded(family):
    """Loads a family; whatever rows begin with is worth sharing."""

    def get(name):
        model = family(name)
        model.budget.tokens = 8192
        return model

    return get
