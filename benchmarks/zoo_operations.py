"""Optimizers on held-out zoo scenes at equal floating-point operations.

``python -m benchmarks.zoo_operations --keep FOLDER`` writes
``benchmarks/results/zoo_operations.md``. The objective is that of ``configs/quickstart.yaml``. A
run that was killed goes on from what FOLDER keeps.
"""

import argparse
import json
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

from benchmarks.caption_zoo import HELD_OUT, judge_scores, true_losses
from benchmarks.classification.pages import around
from benchmarks.classification.runs import kept
from benchmarks.machine import describe, table, write
from benchmarks.optimizers_zoo import terms
from benchmarks.search import hush, run
from fuse_lightning.cli.zoo import scenes
from fuse_lightning.data import ImageTargets
from fuse_lightning.models import CLIP
from fuse_lightning.optimizers import GCG, PEZ, RandomSearch, SimplexDescent
from fuse_lightning.search import GreedySearch
from fuse_lightning.zoo.scenes import names_all

FLOPS = 8e10
LENGTH = 12
STEPS = 100_000
"""Steps that no budget lasts for."""
PARTS = (0.25, 0.5, 1.0)
"""Shares of the operations after which losses are told."""
NONE = float("inf")
WAYS: dict[str, tuple[Any, dict[str, Any]]] = {
    "SimplexDescent": (SimplexDescent, {}),
    "GCG": (GCG, {}),
    "RandomSearch L0": (RandomSearch, {}),
    "PEZ": (PEZ, {"restarts": 8}),
}


def search(name: str, seed: int, flops: float, data: ImageTargets) -> list[dict[str, Any]]:
    """Best losses of each scene after shares of the operations, and its best prompt."""
    kind, options = WAYS[name]
    module = kind(terms(), seed=seed, prompt_length=LENGTH, steps=STEPS, max_flops=flops, **options)
    points: list[tuple[float, list[float]]] = []
    score = module.score

    def noted(proposed: list[list[Any]]) -> Any:
        found = score(proposed)
        losses = [float("inf") if best is None else best.loss for best in module.best]
        points.append((module.spent().flops, losses))
        return found

    module.score = noted
    run(module, data, GreedySearch())
    # The one batch shares the work of every step alike.
    budget = flops * len(module.results)
    rows = []
    for place, result in enumerate(module.results):
        until = [
            min((losses[place] for spent, losses in points if spent <= part * budget), default=NONE)
            for part in PARTS
        ]
        rows.append(
            {
                "losses": until,
                "prompt": result.prompt,
                "evaluations": result.evaluations,
                "flops": result.flops,
                "seconds": result.seconds,
            }
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--flops", type=float, default=FLOPS, help="budget of a scene")
    parser.add_argument("--keep", type=Path, help="folder of results: kept, and taken up again")
    options = parser.parse_args()
    hush()
    judge = CLIP("zoo/clip-judge")
    judge.load()
    found: dict[str, list[list[dict[str, Any]]]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes(folder, options.scenes, HELD_OUT)
        metadata = [json.loads(line) for line in (folder / "metadata.jsonl").open()]
        captions = [row["caption"] for row in metadata]
        data = ImageTargets(str(folder), batch_size=options.scenes)
        true = judge_scores(judge, data, captions).mean()
        module = RandomSearch(terms())
        module.load()
        known = float(module.objective.total(true_losses(module, data, captions)).mean())
        for seed in range(options.seeds):
            for label in WAYS:
                rows = kept(
                    options.keep and options.keep / f"{label.replace(' ', '_')}-{seed}.json",
                    [options.scenes, options.flops, LENGTH, WAYS[label][1]],
                    lambda label=label, seed=seed: search(label, seed, options.flops, data),
                )
                texts = [row["prompt"] for row in rows]
                told = judge_scores(judge, data, texts) / true
                for row, scene, share in zip(rows, metadata, told.tolist(), strict=True):
                    row["right"] = names_all(row["prompt"], scene["objects"])
                    row["judge"] = share
                found[label].append(rows)
                print(label, seed, mean(row["losses"][-1] for row in rows), flush=True)
    write(
        "zoo_operations",
        "# Optimizers on zoo scenes at equal operations\n\n"
        f"{describe()}\n\n"
        f"{options.scenes} held-out scenes and {options.seeds} seeds, all optimizers on the same. "
        f"Objective of `configs/quickstart.yaml` (true captions have {known:.2f}, lower is "
        f"better); every search has {options.flops:.1e} floating-point operations of the models, "
        f"backward passes included, and begins with {LENGTH} random tokens. PEZ has 8 restarts; "
        "all else are default settings. Means over scenes and seeds; ± is the standard deviation "
        "of the seeds' means. *Better than RandomSearch* counts pairs of a scene and a seed. "
        "*Judge*: cosine under `zoo/clip-judge`, which takes no part in the search, over that of "
        "the true captions; *objects right*: every colour and shape is named. No setting was "
        f"chosen by these scenes.\n\n{compared(found)}\n",
    )


def compared(found: dict[str, list[list[dict[str, Any]]]]) -> str:
    """A table with a line for each optimizer, best first."""
    head = [
        "optimizer",
        *(f"objective, {part:.0%} of the operations" for part in PARTS),
        *("better than RandomSearch", "judge", "objects right", "evaluations", "s / scene"),
    ]
    lines = []
    ends = {
        name: [[row["losses"][-1] for row in rows] for rows in runs] for name, runs in found.items()
    }
    base = [loss for losses in ends["RandomSearch L0"] for loss in losses]
    for name, runs in sorted(found.items(), key=lambda each: mean(map(mean, ends[each[0]]))):
        flat = [row for rows in runs for row in rows]
        means = [[mean(row["losses"][n] for row in rows) for rows in runs] for n in range(3)]
        wins = sum(row["losses"][-1] < loss for row, loss in zip(flat, base, strict=True))
        lines.append(
            [
                name,
                *map(around, means),
                "-" if name == "RandomSearch L0" else f"{wins} of {len(flat)}",
                f"{mean(row['judge'] for row in flat):.3f}",
                f"{mean(row['right'] for row in flat):.1%}",
                f"{mean(row['evaluations'] for row in flat):.0f}",
                f"{mean(row['seconds'] for row in flat):.1f}",
            ]
        )
    return table(head, lines)


if __name__ == "__main__":
    main()
