from tests.factories.fixtures import folder, load

__all__ = ["folder", "load"]
