from tests.factories.fixtures import folder, folders, pictures

__all__ = ["folder", "folders", "pictures"]
