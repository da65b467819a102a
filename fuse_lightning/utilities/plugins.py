"""Registry of classes by path, which imports them only on request."""

from importlib import import_module
from typing import Any

_PATHS: dict[str, list[str]] = {}


def register(kind: str, path: str) -> None:
    """Registers a class by path; it is imported when its kind is asked for.

    Args:
        kind: Kind of the class, such as "measure".
        path: Path of the class, such as "package.module.Class".
    """
    paths = _PATHS.setdefault(kind, [])
    if path not in paths:
        paths.append(path)


def registered(kind: str) -> list[type[Any]]:
    """Registered classes of a kind, in order of registration.

    >>> register("example", "fractions.Fraction")
    >>> registered("example")
    [<class 'fractions.Fraction'>]
    """
    places = [path.rpartition(".") for path in _PATHS.get(kind, ())]
    return [getattr(import_module(module), name) for module, _, name in places]
