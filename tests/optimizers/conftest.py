from tests.factories.fixtures import folders, pictures

__all__ = ["folders", "pictures"]
