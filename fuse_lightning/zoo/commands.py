"""``fuse zoo``: scenes, training, evaluation."""

import json
import logging
import os
import random
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

from fuse_lightning.cli.quiet import quiet, quiet_transformers
from fuse_lightning.errors import FuseError

REFERENCES = 4


def scenes(
    out: Path,
    count: int = 64,
    seed: int = 0,
    sentiment: Literal["positive", "negative", "none"] = "none",
) -> None:
    """Writes pictures of random scenes with a metadata.jsonl, the layout of an image folder.

    Args:
        out: The folder to write.
        count: How many scenes.
        seed: Seed of the scenes.
        sentiment: Sentiment of the captions' mood word.
    """
    from fuse_lightning.zoo.render import render
    from fuse_lightning.zoo.scenes import sample_scene, sample_wording

    if count < 1:
        raise FuseError(f"count is {count}; it must be at least 1")
    out.mkdir(parents=True, exist_ok=True)
    rng = random.Random(f"scenes-{seed}")
    rows = []
    for index in range(count):
        scene = sample_scene(rng)
        name = f"scene-{index:0{len(str(count - 1))}}"
        render(scene, rng).save(out / f"{name}.png")
        caption, *references = (
            sample_wording(scene, rng, sentiment, full=True)[0].text()
            for _ in range(REFERENCES + 1)
        )
        rows.append(
            {
                "id": name,
                "file_name": f"{name}.png",
                "caption": caption,
                "references": references,
                "objects": [
                    {"shape": kind.shape, "color": kind.color, "size": kind.size}
                    for kind in scene.kinds
                    for _ in range(kind.count)
                ],
                "background": scene.background,
                "relation": scene.relation,
                "sentiment": sentiment,
            }
        )
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (out / "metadata.jsonl").write_text(text, encoding="utf-8")
    print(f"wrote {count} scenes to {out}")


def train(
    out: Path = Path("zoo"),
    seed: int = 0,
    models: list[str] | None = None,
    share: float = 1.0,
    jobs: int | None = None,
) -> None:
    """Rebuilds the zoo's models from a seed.

    Args:
        out: Folder that gets one folder a model.
        seed: Seed of weights and data.
        models: Which of clip, clip-judge, sentiment and gpt2; all by default.
        share: Share of the steps that the shipped weights were trained for.
        jobs: Models trained at once, each in a process of its own; all by default, so that no core
            waits for the last of them.
    """
    from fuse_lightning.zoo.recipes.architectures import RECIPES
    from fuse_lightning.zoo.recipes.training import train_model

    names = models or list(RECIPES)
    for name in names:
        if name not in RECIPES:
            raise FuseError(f"unknown zoo model {name!r}; there are: {', '.join(RECIPES)}")
    cores = os.cpu_count() or 1
    if jobs is not None and jobs < 1:
        raise FuseError(f"jobs is {jobs}; it must be at least 1")
    workers = min(len(names), jobs or len(names))
    with ProcessPoolExecutor(workers, get_context("spawn"), _prepare_worker) as pool:
        runs = {
            pool.submit(train_model, name, out / name, seed, share, max(1, cores // workers)): name
            for name in names
        }
        for run in as_completed(runs):
            print(f"{runs[run]}: {run.result():.0f} s, written to {out / runs[run]}")


def _prepare_worker() -> None:
    """Readies a process for training; it is silent where each stage would say the same anew."""
    # The shapes of batches come again and again: with few kernels kept, each step would build its
    # own anew.
    os.environ["ONEDNN_PRIMITIVE_CACHE_CAPACITY"] = "4096"
    # It sets its logger's level when it is imported.
    import lightning.pytorch  # noqa: F401

    quiet()
    quiet_transformers()
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


def evaluate(scenes: int = 1200, seed: int = 1000, weights: Path | None = None) -> None:
    """Measures the zoo's models on held-out scenes.

    Args:
        scenes: How many scenes.
        seed: Seed of the scenes; training never uses these.
        weights: Folder with the four models, by default the package's.
    """
    from fuse_lightning.zoo.evaluation import evaluate_zoo

    if scenes < 1:
        raise FuseError(f"scenes is {scenes}; it must be at least 1")
    for name, value in evaluate_zoo(scenes, seed, weights).items():
        print(f"{name}: {value:.4f}")
