from tests.factories.fixtures import check_gradient, family, folder, in_double, load, network

__all__ = ["check_gradient", "family", "folder", "in_double", "load", "network"]
