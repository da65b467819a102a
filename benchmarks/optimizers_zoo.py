"""Every optimizer on held-out zoo scenes, with the same number of exact evaluations.

``python -m benchmarks.optimizers_zoo`` writes ``benchmarks/results/optimizers_zoo.md`` and a plot.
The objective is that of ``configs/quickstart.yaml``.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.caption_zoo import SEED, config, judge_scores, true_losses
from benchmarks.machine import RESULTS, describe, table, write
from benchmarks.search import Curve, hush, run
from fuse_lightning import objectives
from fuse_lightning.cli.zoo import scenes
from fuse_lightning.data import ImageTargets
from fuse_lightning.models import CLIP
from fuse_lightning.optimizers import (
    GCG,
    PEZ,
    AutoDAN,
    PromptOptimizer,
    RandomSearch,
    SimplexDescent,
)
from fuse_lightning.search import BeamSearch, Frontier, GreedySearch, HistorySearch
from fuse_lightning.zoo.scenes import names_all

EVALUATIONS = 4096
LENGTH = 12
SWAPS = 128
Row = tuple[Callable[..., PromptOptimizer], dict[str, Any], Callable[[], Frontier]]


def swapping(kind: Callable[..., PromptOptimizer], frontier: Any, **options: Any) -> Row:
    settings = {"batch_size": SWAPS, "steps": EVALUATIONS // SWAPS, "prompt_length": LENGTH}
    return kind, settings | options, frontier


def growing(**options: Any) -> Row:
    return AutoDAN, {"batch_size": 32, "steps": 24} | options, lambda: BeamSearch(8)


ROWS: dict[str, Row] = {
    "RandomSearch L0": swapping(RandomSearch, GreedySearch),
    "RandomSearch L2": swapping(RandomSearch, GreedySearch, search_ball="L2"),
    "GCG, gradient at the prompt": swapping(
        GCG, HistorySearch, top_k=64, merge=0, gradient_samples=0
    ),
    "GCG, smoothed": swapping(GCG, HistorySearch, top_k=64, merge=0),
    "GCG, smoothed, merge 8": swapping(GCG, HistorySearch, top_k=64, merge=8),
    "PEZ, 8 restarts": (
        PEZ,
        {"steps": EVALUATIONS // 8, "restarts": 8, "prompt_length": LENGTH},
        GreedySearch,
    ),
    "PEZ, 8 restarts, polished": (
        PEZ,
        {
            "steps": EVALUATIONS // 16 + EVALUATIONS // 2 // SWAPS,
            "restarts": 8,
            "prompt_length": LENGTH,
            "polish_steps": EVALUATIONS // 2 // SWAPS,
            "batch_size": SWAPS,
        },
        GreedySearch,
    ),
    "SimplexDescent": (
        SimplexDescent,
        # Most of its prompts are scored by the forward of their gradient.
        {"steps": EVALUATIONS // 8, "prompt_length": LENGTH},
        GreedySearch,
    ),
    "VGD: AutoDAN, LM proposals only": growing(gradient_weight=0.0),
    "AutoDAN, gradient at a fixed token": growing(gradient_samples=0),
    "AutoDAN, smoothed": growing(),
}


def terms() -> list[objectives.Term]:
    return [
        getattr(objectives, term["class_path"])(**term["init_args"])
        for term in config("quickstart.yaml")["terms"]
    ]


def search(row: Row, data: ImageTargets, seed: int, keep: Path | None) -> dict[str, Any]:
    """Prompts and curves, as plain containers; taken up again from ``keep``."""
    if keep and keep.exists():
        return json.loads(keep.read_text())
    kind, options, frontier = row
    module = kind(terms(), seed=seed, **options)
    curves, seconds = run(module, data, frontier())
    found = {
        "curves": [vars(curves[result.target]) for result in module.results],
        "seconds": seconds,
    }
    if keep:
        keep.parent.mkdir(parents=True, exist_ok=True)
        keep.write_text(json.dumps(found))
    return found


def plot(curves: dict[str, list[list[Curve]]]) -> None:
    """Mean best loss against evaluations, the median over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    places = torch.logspace(5, 12, 60, base=2).tolist()
    for number, (name, runs) in enumerate(curves.items()):
        lines = [[mean([curve.at(place) for curve in run]) for place in places] for run in runs]
        middle = [median(values) for values in zip(*lines, strict=True)]
        style = ["-", "--"][number >= 5]
        axes.plot(places, middle, style, label=name, color=plt.get_cmap("tab10")(number))
    axes.set(xscale="log", xlabel="exact evaluations of a target", ylabel="best objective (mean)")
    axes.set_ylim(top=16)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(RESULTS / "optimizers_zoo.png", dpi=110)


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=32)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", help="beginnings of names of rows")
    parser.add_argument("--keep", type=Path, help="folder of results: kept, and taken up again")
    options = parser.parse_args()
    hush()
    judge = CLIP("zoo/clip-judge")
    judge.load()
    names = [name for name in ROWS if not options.only or name.startswith(tuple(options.only))]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes(folder, options.scenes, SEED)
        metadata = [json.loads(line) for line in (folder / "metadata.jsonl").open()]
        captions = [row["caption"] for row in metadata]
        data = ImageTargets(str(folder), batch_size=8)
        true = judge_scores(judge, data, captions).mean()
        module = AutoDAN(terms())
        module.load()
        known = float(module.objective.total(true_losses(module, data, captions)).mean())
        curves: dict[str, list[list[Curve]]] = {}
        quality: dict[str, list[tuple[float, float]]] = {}
        for label in names:
            for seed in range(options.seeds):
                keep = options.keep and options.keep / f"{label.replace(' ', '_')}-{seed}.json"
                found = search(ROWS[label], data, seed, keep)
                curves.setdefault(label, []).append([Curve(**each) for each in found["curves"]])
                texts = [curve.prompt_at(EVALUATIONS) for curve in curves[label][-1]]
                right = [
                    names_all(text, row["objects"])
                    for row, text in zip(metadata, texts, strict=True)
                ]
                score = float(judge_scores(judge, data, texts).mean() / true)
                quality.setdefault(label, []).append((score, mean(right)))
                print(label, seed, f"{found['seconds']:.0f} s", flush=True)
    # What the fastest needs for all evaluations.
    seconds = min(
        median(mean([curve.seconds[-1] for curve in run]) for run in runs)
        for runs in curves.values()
    )
    rows = []
    for label, runs in curves.items():
        judged, right = (median(values) for values in zip(*quality[label], strict=True))
        rows.append(
            [
                label,
                f"{median(mean([c.at(EVALUATIONS) for c in run]) for run in runs):.2f}",
                f"{median(mean([c.at(seconds, 'seconds') for c in run]) for run in runs):.2f}",
                f"{judged:.3f}",
                f"{right:.1%}",
                f"{median(mean([c.evaluations[-1] for c in run]) for run in runs):.0f}",
                f"{median(mean([c.seconds[-1] for c in run]) for run in runs):.1f}",
            ]
        )
    plot(curves)
    write(
        "optimizers_zoo",
        "# Optimizers on zoo scenes\n\n"
        f"{describe()} {torch.get_num_threads()} threads.\n\n"
        f"{options.scenes} held-out scenes, the median of {options.seeds} seeds. Objective of "
        f"`configs/quickstart.yaml` (true captions have {known:.2f}, lower is better) within "
        f"{EVALUATIONS} exact evaluations of a scene, and within {seconds:.1f} s. Prompts begin as "
        f"{LENGTH} random tokens; AutoDAN grows its own, beam 8. *Judge*: cosine under "
        "`zoo/clip-judge` over that of the true captions; *objects right*: every colour and shape "
        "is named; both of the best prompt within these evaluations. The zoo has no captioner "
        "that `Captioner` could rank. *VGD* (arXiv 2505.08622) is beam search of a language model, "
        "re-ranked by the objective, without gradients.\n\n"
        + table(
            [
                "optimizer",
                f"objective, {EVALUATIONS} evaluations",
                f"objective, {seconds:.1f} s",
                "judge",
                "objects right",
                "evaluations",
                "s / scene",
            ],
            rows,
        )
        + "\n\n## Equal operations\n\nIn [another table](zoo_operations.md) all have the "
        "same floating-point operations.\n\n"
        "![Best objective against evaluations](optimizers_zoo.png)\n",
    )


if __name__ == "__main__":
    main()
