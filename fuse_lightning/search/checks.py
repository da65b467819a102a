"""Checks of what frontiers and optimizers give and keep, which may be classes of a user's own."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import Parameter

from fuse_lightning.errors import FuseError

PLAIN = {bool, complex, float, int, str, Tensor, Parameter, type(None)}
"""Types of values that a checkpoint holds and gives back as they are."""


def check_plain(value: Any, what: str) -> None:
    """Checks that a checkpoint can hold a value, and that reading it needs no code.

    >>> check_plain({"seen": [(1, 2)], "best": None}, "it")
    >>> check_plain({"seen": range(3)}, "GCG keeps it")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    fuse_lightning.errors.FuseError: GCG keeps it, where range(0, 3) is of type range, which no...

    Args:
        value: Any value.
        what: Who keeps it, for the error.

    Raises:
        FuseError: If a part of it is of another type.
    """
    if type(value) in PLAIN:
        return
    if type(value) is dict:
        parts = [*value, *value.values()]
    elif type(value) in (list, set, tuple):
        parts = [*value]
    else:
        raise FuseError(
            f"{what}, where {shortened(value)} is of type {type(value).__name__}, which no "
            "checkpoint can hold; keep dicts, lists, tuples, sets, numbers, texts and tensors"
        )
    for part in parts:
        check_plain(part, what)


def check_expanded(states: Any, count: int, frontier: str) -> None:
    """Checks that a frontier gives a list of states for each target.

    Raises:
        FuseError: If it gives something else.
    """
    what = f"{frontier}.expand returns"
    remedy = "return a list of states for each target, an empty one for a target that has ended"
    _check_lists(states, count, what, remedy)
    for group in states:
        for state in group:
            try:
                hash(state)
            except TypeError as error:
                raise FuseError(
                    f"{what} the state {shortened(state)}, of type {type(state).__name__}, which "
                    "has no hash; return states as they were given"
                ) from error


def check_kept(frontiers: Any, count: int, frontier: str) -> None:
    """Checks that a frontier keeps a list of pairs of a loss and a state for each target.

    Raises:
        FuseError: If it keeps something else.
    """
    what, remedy = f"{frontier}.frontiers holds", "keep a list of (loss, state) for each target"
    _check_lists(frontiers, count, what, remedy)
    for group in frontiers:
        for pair in group:
            if not isinstance(pair, tuple) or len(pair) != 2 or not _is_number(pair[0]):
                raise FuseError(f"{what} {shortened(pair)}, which is no such pair; {remedy}")


def _check_lists(value: Any, count: int, what: str, remedy: str) -> None:
    for each in (value, *(value if isinstance(value, Sequence) else ())):
        if not isinstance(each, Sequence) or isinstance(each, str):
            raise FuseError(f"{what} {shortened(each)}, which is no list; {remedy}")
    if len(value) != count:
        raise FuseError(f"{what} {len(value)} lists, but there are {count} targets; {remedy}")


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True


def shortened(value: Any) -> str:
    """A value as a short text of one line.

    >>> shortened([1, 2])
    '[1, 2]'
    """
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:60]}…"
