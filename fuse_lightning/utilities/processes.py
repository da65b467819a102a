"""Exchange of values between the processes of a run."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch.distributed as dist

T = TypeVar("T")
Part = TypeVar("Part")
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


@dataclass(frozen=True)
class Team:
    """Processes that do the same work together, each a share of it.

    All of them must ask for the same at the same point. By default one process is a team alone.

    Attributes:
        rank: Number of this process.
        size: Number of the processes.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this process speaks for the team."""
        return self.rank == 0

    def first(self, value: T) -> T:
        """The value of the first process, which all go on with."""
        if self.size == 1:
            return value
        values: list[Any] = [value if self.leads else None]
        dist.broadcast_object_list(values, src=0)
        found: T = values[0]
        return found

    def gather(self, value: T) -> list[T]:
        """Values of all processes, by rank."""
        return [value] if self.size == 1 else gather(value)

    def share(self, count: int) -> slice:
        """This process's share of so many things, one behind the other.

        >>> [Team(rank, 3).share(7) for rank in range(3)]
        [slice(0, 2, None), slice(2, 4, None), slice(4, 7, None)]
        """
        return slice(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def split(self, work: Callable[[Sequence[T]], list[Part]], things: Sequence[T]) -> list[Part]:
        """Does some work on many things, each of them in one process; all get all results.

        >>> Team().split(lambda texts: [text.upper() for text in texts], ["a", "b"])
        ['A', 'B']

        Args:
            work: Gives one result for each of some things.
            things: The things, the same in all processes.
        """
        mine = things[self.share(len(things))]
        return [result for part in self.gather(work(mine) if mine else []) for result in part]
