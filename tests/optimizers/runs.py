"""Tiny models, pictures and fits for tests of optimizers."""

import shutil
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.callbacks import Headroom, PortablePrompts, PromptWriter
from fuse_lightning.objectives import Fluency, ImageSimilarity
from tests.near import DOUBLE, near


def build(kind, folders, **options):
    """An optimizer over two models with different tokenizers."""
    terms = [
        Fluency(folders["gpt2"], prefix="An image of"),
        ImageSimilarity(folders["clip"], weight=8, prefix="An image of"),
    ]
    return kind(terms, adapter=AdapterSettings(cache=False), **options)


class Snapshots(Callback):
    """Keeps what a run's files hold after every step, as a kill would leave them."""

    def on_train_batch_end(self, trainer, *args):
        folder = Path(trainer.default_root_dir)
        shutil.copy(folder / "prompts.jsonl", folder / f"step-{trainer.global_step}.jsonl")

    @staticmethod
    def bring_back(checkpoint):
        """Leaves in the run's files what was there when a checkpoint was written."""
        saved = torch.load(checkpoint, weights_only=True)
        folder = Path(saved["run"])
        if (then := folder / f"step-{saved['global_step']}.jsonl").is_file():
            shutil.copy(then, folder / "prompts.jsonl")


def fit(module, data, folder, *callbacks, ckpt_path=None, **trainer_options):
    """Runs a search; what an earlier one left in the folder is replaced, unless it goes on there.

    A run goes on as if it had been killed right behind its checkpoint.
    """
    if ckpt_path is not None:
        Snapshots.bring_back(ckpt_path)
    module.overwrite = True
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        # They read examples beside the search, before it or behind it.
        callbacks=[
            PromptWriter(),
            Headroom(enabled=False),
            PortablePrompts(enabled=False),
            *callbacks,
            Snapshots(),
        ],
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(c, ModelCheckpoint) for c in callbacks),
        **trainer_options,
    )
    trainer.fit(module, data, ckpt_path=ckpt_path)
    return trainer


SHARED = {"seconds": 0, "tokens": 0, "flops": 0.0}
"""What depends on who else is in a batch, and on what is still remembered when a run goes on."""


def found(module):
    """Results without what their batches took."""
    return [{**result.to_dict(), **SHARED} for result in module.results]


def close(rows):
    """Float64 rows to compare with: losses depend in their last digits on what shares a batch."""
    return [
        {
            **row,
            **{key: near(row[key], size=1, share=DOUBLE) for key in ("loss", "losses")},
            "curve": [[step, near(loss, size=1, share=DOUBLE)] for step, loss in row["curve"]],
        }
        for row in rows
    ]
