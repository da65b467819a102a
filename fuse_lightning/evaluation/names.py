"""Names of measures and floors."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from fuse_lightning.errors import FuseError


def check_names(kind: type[Any], parts: Sequence[Any]) -> None:
    """Checks that parts of an evaluation are of the right kind and have distinct names.

    Args:
        kind: The class that all of them are to be of.
        parts: Such as measures.

    Raises:
        FuseError: If one is something else or has no name, or two have the same.

    >>> check_names(int, ["one"])
    Traceback (most recent call last):
    ...
    fuse_lightning.errors.FuseError: 'one' is no int; give an object of a class that is one
    """
    what = kind.__name__
    for part in parts:
        if not isinstance(part, kind):
            raise FuseError(f"{part!r} is no {what}; give an object of a class that is one")
        if not isinstance(getattr(part, "name", None), str) or not part.name:
            raise FuseError(f"{what} {type(part).__name__} has no name; give the class a name")
    names = Counter(part.name for part in parts)
    if (most := names.most_common(1)) and most[0][1] > 1:
        kinds = " and ".join(type(part).__name__ for part in parts if part.name == most[0][0])
        raise FuseError(f"{kinds} have the name {most[0][0]!r}; give each {what} its own")
