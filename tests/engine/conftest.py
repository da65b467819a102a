from tests.models.conftest import family, folder, load

__all__ = ["family", "folder", "load"]
