"""A loader that serves each batch of targets for many steps, and knows where it is."""

from collections.abc import Iterator, Sequence
from typing import Any

from fuse_lightning.data.targets import Target, TargetBatch


class TargetLoader:
    """Serves batches of targets in order, each ``steps`` times.

    Lightning saves and restores its position with checkpoints.

    Args:
        targets: The targets.
        batch_size: Targets searched together.
        steps: Steps for each batch.
        most: Targets of the device that has most of them: every device serves as many batches,
            some of them empty, so that all of them write their checkpoints together.
    """

    def __init__(
        self, targets: Sequence[Target], batch_size: int, steps: int, most: int | None = None
    ) -> None:
        count = len(targets) if most is None else most
        self.batches = [
            list(targets[start : start + batch_size]) for start in range(0, count, batch_size)
        ]
        self.steps = steps
        self.served = 0

    def __len__(self) -> int:
        return len(self.batches) * self.steps

    def __iter__(self) -> Iterator[TargetBatch]:
        self.served %= max(1, len(self))
        while self.served < len(self):
            batch, step = divmod(self.served, self.steps)
            self.served += 1
            yield TargetBatch(self.batches[batch], step, step == self.steps - 1)

    def state_dict(self) -> dict[str, Any]:
        """Steps served so far."""
        return {"served": self.served}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on behind the step that was served last."""
        self.served = state_dict["served"]
