"""Captions of held-out zoo scenes, by frontier.

``python -m benchmarks.caption_zoo`` writes ``benchmarks/results/caption_zoo.md``. What a row does
not change is read from ``configs/quickstart.yaml`` and ``configs/quickstart_sentiment.yaml``.
"""

import argparse
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
import yaml

from benchmarks.machine import describe, table, write
from benchmarks.search import hush
from benchmarks.search import run as run_search
from fuse_lightning import objectives
from fuse_lightning.cli.zoo import scenes
from fuse_lightning.data import ImageTargets, SentimentTargets
from fuse_lightning.models import CLIP, Classifier
from fuse_lightning.objectives import Objective
from fuse_lightning.optimizers import AutoDAN
from fuse_lightning.results.result import Result
from fuse_lightning.search import BeamSearch, Frontier, GreedySearch, UniformCostSearch
from fuse_lightning.zoo.scenes import names_all
from fuse_lightning.zoo.vocabulary import MOODS

CONFIGS = Path(__file__).parents[1] / "configs"
SEED = 90210
"""Of the scenes with a mood, and of other benchmarks."""
HELD_OUT = 31337
"""Of scenes that chose no setting."""
GRADIENTS: dict[str, Any] = {
    "batch_size": 32,
    "gradient_weight": 0.25,
    "gradient_samples": 8,
    "patience": 18,
}
STRATEGIES: dict[str, tuple[Any, dict[str, Any]]] = {
    "greedy": (GreedySearch, {}),
    "uniform cost 32": (lambda: UniformCostSearch(32), {}),
    "beam 4": (lambda: BeamSearch(4), {}),
    "beam 16": (lambda: BeamSearch(16), {}),
    "beam 16, siblings 2": (lambda: BeamSearch(16, siblings=2), {}),
    "beam 16, gradients, patience 18": (lambda: BeamSearch(16), GRADIENTS),
    "beam 32 x 32, siblings 2, patience 6": (
        lambda: BeamSearch(32, siblings=2),
        {"batch_size": 32, "patience": 6},
    ),
    "beam 48, siblings 2 (quickstart)": (lambda: BeamSearch(48, siblings=2), {}),
}


@dataclass
class Figures:
    """One row."""

    right: float
    judge: float
    nll: float
    cosine: float
    objective: float
    seconds: float
    sentiment: float | None = None


def config(name: str) -> dict[str, Any]:
    return yaml.safe_load((CONFIGS / name).read_text())["model"]["init_args"]


def build(name: str, **changes: Any) -> AutoDAN:
    options = config(name) | changes
    terms = [
        getattr(objectives, term["class_path"])(**term["init_args"])
        for term in options.pop("terms")
    ]
    return AutoDAN(terms, **options)


def search(
    module: AutoDAN, data: L.LightningDataModule, frontier: Frontier, keep: Path | None = None
) -> float:
    """Runs a fit, or takes up the results kept in a file, and returns its CPU seconds."""
    if keep is not None and keep.exists():
        found = json.loads(keep.read_text())
        module.results = [Result(**row) for row in found["results"]]
        module.load()
        return float(found["seconds"])
    module.load()
    begun = time.process_time()
    run_search(module, data, frontier)
    seconds = time.process_time() - begun
    if keep is not None:
        rows = [result.to_dict() for result in module.results]
        keep.write_text(json.dumps({"seconds": seconds, "results": rows}))
    return seconds


def true_losses(module: AutoDAN, data: Any, captions: list[str]) -> torch.Tensor:
    """Losses of the true captions, (N, terms)."""
    objective: Objective = module.objective
    rows = []
    for target, caption in zip(data.find_targets(), captions, strict=True):
        objective.set_targets([target])
        state = objective.encode_prompt(caption)
        rows.append(objective.losses(objective.prompts([state], [0]))[0])
    return torch.stack(rows)


def judge_scores(judge: CLIP, data: Any, prompts: list[str]) -> torch.Tensor:
    """Cosine of each prompt and its picture under the judge."""
    images = judge.image_features([target.images[0] for target in data.find_targets()])
    with torch.no_grad():
        texts = judge.text_features(judge.encode([f"An image of {prompt}" for prompt in prompts]))
    return (images * texts).sum(-1)


def measure(
    module: AutoDAN,
    data: Any,
    frontier: Frontier,
    rows: list[dict[str, Any]],
    judge: CLIP,
    keep: Path | None,
) -> tuple[Figures, Figures]:
    """Figures of the found prompts and of the true captions."""
    seconds = search(module, data, frontier, keep)
    prompts = [result.prompt for result in module.results]
    captions = [row["caption"] for row in rows]
    losses = torch.tensor([list(result.losses.values()) for result in module.results])
    true = true_losses(module, data, captions)
    sentiment = None
    if isinstance(data, SentimentTargets):
        classifier = module.objective.terms[2].model
        assert isinstance(classifier, Classifier)
        wanted = [row["sentiment"] for row in rows]
        with torch.no_grad():
            labels = classifier.logits(classifier.encode(prompts)).argmax(1).tolist()
        got = [
            classifier.labels[label] == want and bool(words(prompt) & {*MOODS[want]})
            for label, want, prompt in zip(labels, wanted, prompts, strict=True)
        ]
        sentiment = sum(got) / len(got)
    figures = []
    for texts, parts, time_ in ((prompts, losses, seconds), (captions, true, 0.0)):
        right = [names_all(text, row["objects"]) for row, text in zip(rows, texts, strict=True)]
        figures.append(
            Figures(
                sum(right) / len(right),
                float(judge_scores(judge, data, texts).mean()),
                float(parts[:, 0].mean()),
                float(1 - parts[:, 1].mean()),
                float(module.objective.total(parts).mean()),
                time_ / len(rows),
                sentiment,
            )
        )
    return figures[0], figures[1]


def words(prompt: str) -> set[str]:
    return set(prompt.replace(",", " ").split())


def show(name: str, found: Figures, true: Figures) -> list[str]:
    return [
        name,
        f"{found.right:.1%}",
        "" if found.sentiment is None else f"{found.sentiment:.1%}",
        f"{found.judge / true.judge:.3f}",
        f"{found.nll - true.nll:+.2f}",
        f"{found.cosine:.3f} ({true.cosine:.3f})",
        f"{found.objective:.2f} ({true.objective:.2f})",
        f"{found.seconds:.1f}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=128)
    parser.add_argument("--only", nargs="*", help="names of rows")
    parser.add_argument("--keep", type=Path, help="folder of results: kept, and taken up again")
    options = parser.parse_args()
    hush()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    judge = CLIP("zoo/clip-judge")
    judge.load()
    rows = []
    examples: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes(folder, options.scenes, HELD_OUT)
        for label, (make, changes) in STRATEGIES.items():
            if options.only and label not in options.only:
                continue
            module = build("quickstart.yaml", **changes)
            keep = options.keep and options.keep / f"{label}.json"
            data = ImageTargets(str(folder), 8)
            found, true, metadata = run(module, data, make(), folder, judge, keep)
            rows.append(show(label, found, true))
            print(rows[-1], flush=True)
            if "quickstart" in label:
                examples = [
                    f"- {result.prompt} *(true: {row['caption']})*"
                    for result, row in zip(module.results[:12], metadata, strict=False)
                ]
        if not options.only or "sentiment" in options.only:
            half = options.scenes // 2
            parts = []
            for sentiment in ("positive", "negative"):
                part = folder / sentiment
                scenes(part, half, SEED + 1 + len(parts), sentiment)
                module = build("quickstart_sentiment.yaml")
                data = SentimentTargets(sentiment, str(part), 8)
                keep = options.keep and options.keep / f"{sentiment}.json"
                found, true, _ = run(module, data, BeamSearch(16), part, judge, keep)
                parts.append(found)
                rows.append(show(f"beam 16, {sentiment}", found, true))
                print(rows[-1], flush=True)
    head = [
        "search",
        "objects right",
        "sentiment right",
        "judge, found / true",
        "NLL, found - true (nats)",
        "cosine found (true)",
        "objective found (true)",
        "CPU s / scene",
    ]
    settings = config("quickstart.yaml")
    weights = ", ".join(str(term["init_args"]["weight"]) for term in settings["terms"])
    write(
        "caption_zoo",
        f"# Captions of {options.scenes} held-out zoo scenes\n\n{describe()}\n\n"
        f"AutoDAN as in `configs/quickstart.yaml` (weights {weights}, {settings['steps']} steps, "
        f"{settings['batch_size']} candidates a beam, patience {settings['patience']}, proposals "
        f"of the language model alone), scenes of seed {HELD_OUT}, which chose no setting, 8 at a "
        f"time. Those with a mood are {options.scenes // 2} scenes of other seeds. "
        "*Objects right*: every object's colour and shape is named. *Judge*: mean cosine under "
        "`zoo/clip-judge`, which takes no part in the search, over that of the true captions. "
        "*Sentiment right*: classifier and mood word agree with what was wanted.\n\n"
        f"{table(head, rows)}\n\nFound by the quickstart's search:\n\n"
        + "\n".join(examples)
        + "\n",
    )


def run(
    module: AutoDAN,
    data: Any,
    frontier: Frontier,
    folder: Path,
    judge: CLIP,
    keep: Path | None,
) -> tuple[Figures, Figures, list[dict[str, Any]]]:
    metadata = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
    found, true = measure(module, data, frontier, metadata, judge, keep)
    return found, true, metadata


if __name__ == "__main__":
    main()
