"""The models and pictures that the tests of optimizers have too."""

from tests.optimizers.conftest import folders, pictures

__all__ = ["folders", "pictures"]
