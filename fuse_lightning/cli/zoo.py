"""``fuse zoo``: pictures and captions of scenes, training and evaluation of the zoo's models."""

import logging
import os
import random
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

from fuse_lightning.cli.quiet import quiet, quiet_transformers
from fuse_lightning.cli.tools import run_tool
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.nearest import did_you_mean
from fuse_lightning.zoo.moods import COUNT, moods_file
from fuse_lightning.zoo.reasoning import COUNT as QUESTIONS
from fuse_lightning.zoo.scene_folder import write_scenes
from fuse_lightning.zoo.scenes import Sentiment
from fuse_lightning.zoo.sums import sums_file


def command(words: Sequence[str]) -> None:
    """Runs the command."""
    run_tool(
        {"scenes": scenes, "moods": moods, "sums": sums, "train": train, "evaluate": evaluate},
        words[0],
        words[1:],
    )


def scenes(out: Path, count: int = 64, seed: int = 0, sentiment: Sentiment = "none") -> None:
    """Writes pictures of random scenes with a metadata.jsonl, the layout of an image folder.

    Args:
        out: The folder to write.
        count: How many scenes.
        seed: Seed of the scenes.
        sentiment: Sentiment of the captions' mood word.
    """
    if count < 1:
        raise FuseError(f"--count is {count}; it must be at least 1")
    write_scenes(out, count, random.Random(f"scenes-{seed}"), sentiment)
    print(f"wrote {count} scenes to {out}")


def moods(out: Path, count: int = COUNT, seed: int = 0) -> None:
    """Writes captions of good or bad mood as a CSV file with the columns text and label.

    Args:
        out: The file to write.
        count: How many captions, half of each mood.
        seed: Seed of the captions; with 0, the first ones are those of "zoo/moods".
    """
    if count < 1:
        raise FuseError(f"--count is {count}; it must be at least 1")
    out.write_text(moods_file(count, seed), encoding="utf-8", newline="\n")
    print(f"wrote {count} captions to {out}")


def sums(out: Path, count: int = QUESTIONS, seed: int = 0) -> None:
    """Writes questions with their answers as a CSV file with the columns question and label.

    Args:
        out: The file to write.
        count: How many questions.
        seed: Seed of the questions; with 0, the first ones are those of "zoo/sums".
    """
    if count < 1:
        raise FuseError(f"--count is {count}; it must be at least 1")
    out.write_text(sums_file(count, seed), encoding="utf-8", newline="\n")
    print(f"wrote {count} questions to {out}")


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
        models: Which of clip, clip-judge, instruct, reasoner, gpt2, sentiment, mood-none,
            mood-faint and mood-plain; all by default. The last three are adapters of the package's
            "zoo/gpt2".
        share: Share of the steps that the shipped weights were trained for.
        jobs: Models trained at once, each in a process of its own; all by default, so that no core
            waits for the last of them.
    """
    # Pictures of scenes need no torch.
    from fuse_lightning.zoo.recipes.architectures import RECIPES
    from fuse_lightning.zoo.recipes.mood_adapters import MOOD_SHARES, train_adapter
    from fuse_lightning.zoo.recipes.training import train_model

    trainers = dict.fromkeys(RECIPES, train_model) | dict.fromkeys(MOOD_SHARES, train_adapter)
    names = models or list(trainers)
    for name in names:
        if name not in trainers:
            raise FuseError(
                f"--models has {name!r}, which is no model of the zoo; "
                f"{did_you_mean(name, trainers)}there are: {', '.join(trainers)}"
            )
    cores = os.cpu_count() or 1
    if jobs is not None and jobs < 1:
        raise FuseError(f"--jobs is {jobs}; it must be at least 1")
    workers = min(len(names), jobs or len(names))
    with ProcessPoolExecutor(workers, get_context("spawn"), _prepare_worker) as pool:
        runs = {
            pool.submit(
                trainers[name], name, out / name, seed, share, max(1, cores // workers)
            ): name
            for name in names
        }
        for run in as_completed(runs):
            print(f"{runs[run]}: {run.result():.0f} s, written to {out / runs[run]}")


def _prepare_worker() -> None:
    """Sets up a training process: more compiled kernels, no repeated messages."""
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
        weights: Folder with the models, by default the package's.
    """
    from fuse_lightning.zoo.recipes.evaluation import evaluate_zoo

    if scenes < 1:
        raise FuseError(f"--scenes is {scenes}; it must be at least 1")
    for name, value in evaluate_zoo(scenes, seed, weights).items():
        print(f"{name}: {value:.4f}")
