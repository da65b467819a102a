"""Cache of one value per target of the current batch."""

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from fuse_lightning.data.targets import Target

T = TypeVar("T")


class PerTarget(Generic[T]):
    """Cache of one value per target of the current batch.

    Args:
        compute: The values of new targets, all of them in one call.
    """

    def __init__(self, compute: Callable[[list[Target]], Sequence[T]]) -> None:
        self.compute = compute
        # Each value stands with its target, so that no other object can take its identity.
        self._values: dict[int, tuple[Target, T]] = {}

    def of(self, targets: Sequence[Target]) -> list[T]:
        """Values of the targets; new ones are computed, those of other targets are dropped."""
        distinct = {id(target): target for target in targets}
        new = {key: target for key, target in distinct.items() if key not in self._values}
        values = {key: self._values[key] for key in distinct.keys() - new.keys()}
        if new:
            computed = self.compute([*new.values()])
            values |= {
                key: (target, value)
                for (key, target), value in zip(new.items(), computed, strict=True)
            }
        self._values = values
        return [values[id(target)][1] for target in targets]
