"""Message about a class that lacks methods, and so cannot be used yet."""

import inspect
from contextlib import suppress
from importlib import import_module
from typing import Any

PAGE = "docs/add_your_own.md"
"""Page that shows which methods a class needs."""


def unfinished(name: str) -> str:
    """One line about an abstract class: the methods that it lacks, and where to read about them.

    Args:
        name: Name of a class of the package, or the path of a class such as ``my_terms.Rhyme``.

    >>> print(unfinished("fuse_lightning.data.TargetDataModule"))
    TargetDataModule is a class to derive from, and has no method all_targets: give a class of \
your own that has it, as docs/add_your_own.md shows
    """
    kind = _class(name)
    methods = sorted(getattr(kind, "__abstractmethods__", ()))
    if not methods:
        return f"{name} is abstract; give a class derived from it"
    word, them = ("method", "it") if len(methods) == 1 else ("methods", "them")
    lacks = f"{word} {' and '.join(methods)}"
    if (kind.__module__ or "").startswith("fuse_lightning."):
        return (
            f"{kind.__name__} is a class to derive from, and has no {lacks}: give a class of your "
            f"own that has {them}, as {PAGE} shows"
        )
    bases = [
        each.__name__ for each in kind.__mro__ if inspect.isabstract(each) and each is not kind
    ]
    of = f", which a {bases[0]} needs" if bases else ""
    return f"{name} lacks the {lacks}{of}; write {them} as {PAGE} shows"


def _class(name: str) -> Any:
    """Class of a path, or the imported class of a short name; ``None`` if there is none."""
    from fuse_lightning.cli.classes import all_classes

    module, _, kind = name.rpartition(".")
    if module:
        with suppress(ImportError):
            return getattr(import_module(module), kind, None)
    return next((each for each in all_classes() if each.__name__ == kind), None)
