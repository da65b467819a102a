"""The base of all data modules of targets."""

from abc import ABC, abstractmethod

import lightning as L
import torch

from fuse_lightning.data.loader import TargetLoader
from fuse_lightning.data.targets import Target, TargetBatch
from fuse_lightning.errors import FuseError


class TargetDataModule(L.LightningDataModule, ABC):
    """Serves targets in batches; over several devices each gets its own share.

    Args:
        batch_size: Targets searched together.
    """

    def __init__(self, batch_size: int = 1) -> None:
        super().__init__()
        if batch_size < 1:
            raise FuseError(f"data.batch_size is {batch_size}; it must be at least 1")
        self.batch_size = batch_size
        self.targets: list[Target] = []

    @abstractmethod
    def find_targets(self) -> list[Target]:
        """All targets, in order, with distinct ids."""

    def setup(self, stage: str) -> None:
        """Finds the targets before any model is loaded."""
        if not self.targets:
            self.targets = self.find_targets()

    def transfer_batch_to_device(
        self, batch: TargetBatch, device: torch.device, dataloader_idx: int
    ) -> TargetBatch:
        """Targets stay as they are: terms move what they need."""
        return batch

    def train_dataloader(self) -> TargetLoader:
        """Each batch of this device's targets, as often as the optimizer has steps."""
        return self._loader(search=True)

    def val_dataloader(self) -> TargetLoader:
        """Each batch of this device's targets once."""
        return self._loader()

    def test_dataloader(self) -> TargetLoader:
        """Each batch of this device's targets once."""
        return self._loader()

    def predict_dataloader(self) -> TargetLoader:
        """Each batch of this device's targets once."""
        return self._loader()

    def _loader(self, search: bool = False) -> TargetLoader:
        if self.trainer is None:
            raise FuseError("the data module has no trainer; give it to Trainer.fit")
        steps: int = self.trainer.lightning_module.steps if search else 1  # type: ignore[assignment]
        rank, ranks = self.trainer.global_rank, self.trainer.world_size
        most = len(self.targets[::ranks])
        return TargetLoader(self.targets[rank::ranks], self.batch_size, steps, most)
