from tests.factories.fixtures import family, folder, load, network

__all__ = ["family", "folder", "load", "network"]
