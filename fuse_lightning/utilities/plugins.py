"""Classes that parts of the package register by path, so that what uses them imports none."""

from importlib import import_module
from typing import Any

_PATHS: dict[str, list[str]] = {}


def register(kind: str, path: str) -> None:
    """Registers a class; it is imported when somebody asks for its kind, and not before.

    Args:
        kind: What it is, such as "measure".
        path: Where it is, such as "package.module.Class".
    """
    paths = _PATHS.setdefault(kind, [])
    if path not in paths:
        paths.append(path)


def registered(kind: str) -> list[type[Any]]:
    """The classes of a kind, in the order of their registration.

    >>> register("example", "fractions.Fraction")
    >>> registered("example")
    [<class 'fractions.Fraction'>]
    """
    places = [path.rpartition(".") for path in _PATHS.get(kind, ())]
    return [getattr(import_module(module), name) for module, _, name in places]
