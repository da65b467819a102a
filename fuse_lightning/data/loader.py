"""A loader whose batch is refilled as targets end."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from fuse_lightning.data.targets import Target, TargetBatch
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.processes import ASK_EVERY, gather

WORKERS = 2


def refuse(target: Target, reason: str) -> None:
    """What becomes of a target that cannot be read, unless a loader is told otherwise.

    Raises:
        FuseError: Always.
    """
    raise FuseError(reason)


class TargetLoader:
    """Serves up to ``batch_size`` targets a step; where some end, the next ones take their places.

    Whoever searches says in :attr:`TargetBatch.done` which targets have ended. Those that stay
    keep their order, new ones stand behind them. Pictures of the targets to come are read ahead.
    The end has come when no target is left to enter and none runs.

    Args:
        targets: The targets, in the order in which they enter.
        batch_size: Targets searched together.
        steps: Most steps of each.
        most: Targets of the device that has most of them, where there are several devices: each
            serves as many batches, some of them empty, so that all write their checkpoints
            together. Soon after the last target of all has ended, so do they.
        skip: What to do about a target whose pictures cannot be read, given the reason.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        batch_size: int,
        steps: int,
        most: int | None = None,
        skip: Callable[[Target, str], None] = refuse,
    ) -> None:
        self.targets = list(targets)
        self.batch_size = batch_size
        self.batches = -(-(len(self.targets) if most is None else most) // batch_size) * steps
        self.even = most is not None
        self.skip = skip
        self._reset()

    def _reset(self) -> None:
        self.served = 0
        self.entered = 0
        self.running: list[Target] = []
        self._batch = TargetBatch([])
        self._pictures: dict[int, Future[Any]] = {}

    def __len__(self) -> int:
        """Most batches that there can be."""
        return self.batches

    def __iter__(self) -> Iterator[TargetBatch]:
        self._reset()
        with ThreadPoolExecutor(WORKERS) as pool:
            while self.served < len(self):
                self._leave()
                self._enter(pool)
                if not self._goes_on():
                    break
                self._batch = TargetBatch([*self.running])
                self.served += 1
                yield self._batch
            self._leave()

    def _goes_on(self) -> bool:
        """Whether this device, or another one, has targets; all devices ask together."""
        if not self.even:
            return bool(self.running)
        return self.served % ASK_EVERY > 0 or any(gather(bool(self.running)))

    def _leave(self) -> None:
        for target in self.running:
            if target.id in self._batch.done:
                target.release()
        self.running = [each for each in self.running if each.id not in self._batch.done]

    def _enter(self, pool: ThreadPoolExecutor) -> None:
        """Fills the batch, and begins to read what comes after it."""
        while len(self.running) < self.batch_size and self.entered < len(self.targets):
            place = self.entered
            self._read(pool, place, place + 1)
            try:
                self._pictures.pop(place).result()
                self.running.append(self.targets[place])
            except FuseError as error:
                self.skip(self.targets[place], str(error))
            self.entered += 1
        self._read(pool, self.entered, self.entered + self.batch_size)

    def _read(self, pool: ThreadPoolExecutor, start: int, stop: int) -> None:
        for place in range(start, min(stop, len(self.targets))):
            if place not in self._pictures:
                self._pictures[place] = pool.submit(getattr, self.targets[place], "images")

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the search itself knows which targets have ended and which are under way."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Does nothing; Lightning warns of loaders that take no state."""
