"""Exchange of values between the processes of a run."""

from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar("T")
ASK_EVERY = 8
"""Steps between two exchanges among all processes."""


def gather(value: T) -> list[T]:
    """Values of all processes, by rank; every process must call it at the same point.

    >>> gather("of this process alone")
    ['of this process alone']
    """
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
