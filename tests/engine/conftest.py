from tests.factories.fixtures import check_gradient, family, folder, in_double, load

__all__ = ["check_gradient", "family", "folder", "in_double", "load"]
