"""Exchange of values between the processes of a run."""

from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar("T")
ASK_EVERY = 8
"""Steps after which all processes ask each other; the first is heard at every step."""


def gather(value: T) -> list[T]:
    """The values of all processes, by rank; every process must ask at the same point."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values
