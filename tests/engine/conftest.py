import pytest

from tests.factories.fixtures import check_gradient, family, folder, in_double, load, network

__all__ = ["check_gradient", "family", "folder", "in_double", "load", "loaded", "network"]


@pytest.fixture
def loaded(family):
    """Loads a family; whatever rows begin with is worth sharing."""

    def get(name):
        model = family(name)
        model.budget.tokens = 8192
        return model

    return get
