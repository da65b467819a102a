"""Checks of numeric options."""

import math

from fuse_lightning.errors import FuseError


def check_number(name: str, value: float, least: float = -math.inf, most: float = math.inf) -> None:
    """Checks that an option is a finite number in a range.

    Args:
        name: Name of the option.
        value: Value that was given.
        least: Smallest number allowed.
        most: Largest number allowed.

    Raises:
        FuseError: If it is not finite or out of range.

    >>> check_number("weight_decay", -1, 0)
    Traceback (most recent call last):
    fuse_lightning.errors.FuseError: weight_decay is -1; it must be at least 0
    """
    if math.isfinite(value) and least <= value <= most:
        return
    limits = [
        f"{words} {limit:g}"
        for words, limit in (("at least", least), ("at most", most))
        if math.isfinite(limit)
    ]
    need = " and ".join(limits) or "a finite number"
    raise FuseError(f"{name} is {value}; it must be {need}")
