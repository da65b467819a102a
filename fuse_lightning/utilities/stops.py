"""StopIteration, which a loop around a call takes for its end."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

ParamsT = ParamSpec("ParamsT")
ValueT = TypeVar("ValueT")


def no_stop(function: Callable[ParamsT, ValueT]) -> Callable[ParamsT, ValueT]:
    """Decorator that turns a StopIteration of a function into a RuntimeError.

    Lightning's loops end where a hook raises one, as if all batches were done. So ``next`` of an
    empty iterator in a class of a user would end a run early, and nobody would know.

    >>> no_stop(next)(iter([]))
    Traceback (most recent call last):
    ...
    RuntimeError: a StopIteration was raised, such as by next() of an empty iterator
    """

    @wraps(function)
    def call(*args: ParamsT.args, **kwargs: ParamsT.kwargs) -> ValueT:
        try:
            return function(*args, **kwargs)
        except StopIteration as error:
            raise RuntimeError(
                "a StopIteration was raised, such as by next() of an empty iterator"
            ) from error

    return call
