"""Trainer run of one stage of a zoo model."""

import random
from collections.abc import Callable
from typing import Any

import lightning as L
from torch.utils.data import DataLoader

from fuse_lightning.zoo.recipes.batches import Batches
from fuse_lightning.zoo.recipes.modules import ZooModule
from fuse_lightning.zoo.recipes.progress import ProgressLines

WORKERS = 1
"""Processes that draw batches; 0 draws them in the training process."""


def fit(
    module: ZooModule,
    make: Callable[[random.Random], Any],
    source: str,
    steps: int,
    share: float,
) -> None:
    """Trains a module, one batch a step.

    Args:
        module: The module; its model learns in place.
        make: Makes a batch from a source of randomness.
        source: Name of the run, in lines about its progress, and seed of the batches.
        steps: Steps of a whole training.
        share: Share of these to take; at least one step is taken.
    """
    steps = max(1, round(steps * share))
    trainer = L.Trainer(
        accelerator="cpu",
        devices=1,
        precision="bf16-mixed",
        max_steps=steps,
        gradient_clip_val=1.0,
        logger=False,
        callbacks=[ProgressLines(source)],
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    data = Batches(make, source, steps)
    loader = DataLoader(
        data,
        batch_size=None,
        num_workers=WORKERS,
        prefetch_factor=8 if WORKERS else None,
        persistent_workers=WORKERS > 0,
        # A fork after the tokenizers have started threads can wait for ever.
        multiprocessing_context="spawn" if WORKERS else None,
    )
    trainer.fit(module, loader)
