"""Loader of target batches, over which Lightning iterates."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from fuse_lightning.data.queue import TargetBatch, TargetQueue
from fuse_lightning.data.targets import Target
from fuse_lightning.utilities.processes import ASK_EVERY, gather

WORKERS = 2


class TargetLoader:
    """Loader of a queue's batches; pictures of the next targets are read ahead.

    The end has come when no target is left to enter and none runs.

    Args:
        queue: The targets.
        most: Targets of the device that has most of them, where there are several devices: each
            serves as many batches, some of them empty, so that all write their checkpoints
            together. Soon after the last target of all has ended, so do they.
    """

    def __init__(self, queue: TargetQueue, most: int | None = None) -> None:
        self.queue = queue
        self.batches = queue.batches(most)
        self.even = most is not None
        self.served = 0

    @property
    def targets(self) -> list[Target]:
        """Targets of this device."""
        return self.queue.targets

    @property
    def batch_size(self) -> int:
        """Most targets in a batch."""
        return self.queue.batch_size

    def __len__(self) -> int:
        """Largest possible number of batches."""
        return self.batches

    def __iter__(self) -> Iterator[TargetBatch]:
        self.queue.restart()
        self.served = 0
        with ThreadPoolExecutor(WORKERS) as pool:
            pictures = _Pictures(pool)
            while self.served < len(self):
                batch = self.queue.next_batch(pictures.wait)
                for target in self.queue.coming:
                    pictures.begin(target)
                if not self._goes_on(batch):
                    break
                self.served += 1
                yield batch
            self.queue.leave()

    def _goes_on(self, batch: TargetBatch) -> bool:
        """Whether any device still has targets; all devices must ask together."""
        if not self.even:
            return bool(batch.targets)
        return self.served % ASK_EVERY > 0 or any(gather(bool(batch.targets)))

    def state_dict(self) -> dict[str, Any]:
        """Empty state: the search itself knows its ended and its current targets."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Does nothing; Lightning warns of loaders that take no state."""


class _Pictures:
    """Background reader of targets' pictures, in threads."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._begun: dict[str, Future[Any]] = {}

    def begin(self, target: Target) -> None:
        """Starts to read a target's pictures, once."""
        if target.id not in self._begun:
            self._begun[target.id] = self._pool.submit(getattr, target, "images")

    def wait(self, target: Target) -> None:
        """Waits for a target's pictures.

        Raises:
            FuseError: If one cannot be read.
        """
        self.begin(target)
        self._begun.pop(target.id).result()
