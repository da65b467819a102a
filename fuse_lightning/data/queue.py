"""Queue of one device's targets, the interface between a search and its data module."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fuse_lightning.data.targets import Target
from fuse_lightning.errors import FuseError


def refuse(target: Target, reason: str) -> None:
    """Default handler of a target that cannot be searched: raises an error that ends the run.

    Raises:
        FuseError: Always.
    """
    raise FuseError(reason)


class TargetQueue:
    """Queue of one device's targets: those in the batch, and those to come.

    Who tells whom:

    * The search asks its data module to :meth:`~fuse_lightning.data.TargetDataModule.deal`, and
      says how many steps a target may take, which targets have ended and which are under way. It
      is given this queue, and reads in ``targets`` which of them are its own.
    * The loader asks for :meth:`next_batch`, and hands the batch, with the queue, to the search.
    * The search says which target has :meth:`ended`, and which is :meth:`skipped`, as no prompt
      was found; the loader skips what cannot be read.

    Up to ``batch_size`` targets are in a batch; where some end, the next ones take their places.
    Those that stay keep their order, new ones stand behind them. After ``steps`` batches a target
    leaves in any case.

    Args:
        targets: The targets, in the order in which they enter.
        batch_size: Targets in a batch.
        steps: Most batches that a target is in.
        skip: Called with a skipped target and the reason; by default raises an error.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        batch_size: int = 1,
        steps: int = 1,
        skip: Callable[[Target, str], None] = refuse,
    ) -> None:
        self.targets = list(targets)
        self.batch_size = batch_size
        self.steps = steps
        self.skipped = skip
        self.restart()

    def restart(self) -> None:
        """Starts again with the first target."""
        self._entered = 0
        self._running: list[Target] = []
        self._left: dict[str, int] = {}

    def batches(self, targets: int | None = None) -> int:
        """Largest number of batches for a number of targets, by default the queue's.

        >>> TargetQueue([], batch_size=4, steps=10).batches(9)
        30
        """
        count = len(self.targets) if targets is None else targets
        return -(-count // self.batch_size) * self.steps

    @property
    def coming(self) -> list[Target]:
        """Targets that enter next, as many as fit into a batch."""
        return self.targets[self._entered : self._entered + self.batch_size]

    def ended(self, name: str) -> None:
        """Records that a target's search has ended with this batch."""
        self._left[name] = 0

    def is_last(self, name: str) -> bool:
        """Whether a target leaves the batch behind this step, as it has had all its batches."""
        return self._left.get(name, 1) < 1

    def leave(self) -> None:
        """Removes ended targets from the batch, and frees their pictures."""
        for target in self._running:
            if self._left[target.id] < 1:
                target.release()
        self._running = [target for target in self._running if self._left[target.id] > 0]

    def next_batch(self, ready: Callable[[Target], object] = lambda _: None) -> "TargetBatch":
        """Targets of the next batch; empty at the end.

        Args:
            ready: Makes a target ready for the search; one that it raises a ``FuseError`` over is
                skipped.
        """
        self.leave()
        while len(self._running) < self.batch_size and self._entered < len(self.targets):
            target = self.targets[self._entered]
            try:
                ready(target)
                self._running.append(target)
                self._left[target.id] = self.steps
            except FuseError as error:
                self.skipped(target, str(error))
            self._entered += 1
        for target in self._running:
            self._left[target.id] -= 1
        return TargetBatch([*self._running], self)


@dataclass
class TargetBatch:
    """Batch of targets that are searched together.

    Attributes:
        targets: The targets.
        queue: The queue that they come from, which is told how each of them ends.
    """

    targets: list[Target]
    queue: TargetQueue = field(default_factory=lambda: TargetQueue([]), repr=False, compare=False)
