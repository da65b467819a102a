"""Ranges of numeric options."""

import math

from fuse_lightning.errors import FuseError


def check_number(name: str, value: float, least: float = -math.inf, most: float = math.inf) -> None:
    """Checks that an option is a finite number in a range.

    Args:
        name: The option.
        value: What was given.
        least: Smallest number it may be.
        most: Largest number it may be.

    Raises:
        FuseError: If it is none.
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
