"""What a whole search has in its files while it runs."""

import csv
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback
from PIL import Image

from fuse_lightning.callbacks import PromptWriter
from fuse_lightning.data import ImageTargets
from fuse_lightning.objectives import Fluency, ImageSimilarity
from fuse_lightning.optimizers import AutoDAN
from fuse_lightning.results.result import read_results
from tests.near import near


class Watcher(Callback):
    """Reads the files behind the writer, after every step."""

    def __init__(self):
        self.seen = []

    def on_train_batch_end(self, trainer, pl_module, *args):
        lines = read_results(Path(trainer.log_dir, "prompts.jsonl"))
        self.seen.append([line.target for line in lines])
        assert table(trainer.log_dir) == self.seen[-1]


def table(folder):
    """Targets of the rows of a run's table."""
    with Path(folder, "prompts.csv").open(encoding="utf-8", newline="") as file:
        return [row["target"] for row in csv.DictReader(file)]


def test_a_search_writes_each_target_when_it_finishes():
    for name, color in (("red", "red"), ("blue", "blue"), ("green", "green")):
        Image.new("RGB", (16, 16), color).save(f"{name}.png")
    module = AutoDAN(
        [Fluency("zoo/gpt2", prefix="An image of"), ImageSimilarity("zoo/clip", weight=8)],
        steps=2,
        batch_size=4,
        gradient_samples=1,
    )
    watcher = Watcher()
    fit = L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        callbacks=[PromptWriter(), watcher],
        default_root_dir="logs",
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        log_every_n_steps=1,
    )
    fit.fit(module, datamodule=ImageTargets(["red.png", "blue.png", "green.png"], batch_size=2))
    pair = ["red.png", "blue.png"]
    assert watcher.seen == [[], pair, pair, [*pair, "green.png"]]
    assert read_results(Path(fit.log_dir, "prompts.jsonl")) == module.results
    for found in module.results:
        assert module.objective.primary.decode([found.ids])[0].strip() == found.prompt
        assert found.loss == near(found.losses["fluency"] + 8 * found.losses["image_similarity"])
