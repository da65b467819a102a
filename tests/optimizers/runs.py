"""Tiny models, pictures and fits for tests of optimizers."""

import lightning as L
import numpy as np
import pytest
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.objectives import Fluency, ImageSimilarity


def write_pictures(folder, count=3):
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for index in range(count):
        pixels = rng.integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


def build(kind, folders, **options):
    """An optimizer over two models with different tokenizers."""
    terms = [
        Fluency(folders["gpt2"], prefix="An image of"),
        ImageSimilarity(folders["clip"], weight=8, prefix="An image of"),
    ]
    return kind(terms, adapter=AdapterSettings(cache=False), **options)


def fit(module, data, folder, *callbacks, ckpt_path=None, **trainer_options):
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=list(callbacks),
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
        **trainer_options,
    )
    trainer.fit(module, data, ckpt_path=ckpt_path)
    return trainer


def found(module):
    """Results without their wall time."""
    return [{**result.to_dict(), "seconds": 0} for result in module.results]


def close(rows):
    """Rows to compare others with: losses depend in their last digits on what shares a batch."""
    return [
        {**row, "loss": pytest.approx(row["loss"]), "losses": pytest.approx(row["losses"])}
        for row in rows
    ]
