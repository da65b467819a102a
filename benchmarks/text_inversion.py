"""Inversion of sentence embeddings, by optimizer.

``python -m benchmarks.text_inversion --writer ID --encoder ID --captions FILE --images FILE``
writes ``benchmarks/results/text_inversion.md``. Targets are captions of Flickr8k test images as
vectors of the encoder; J is the mean negative log-likelihood (nats) plus 22 times the cosine
distance.
"""

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.flickr import first_captions
from benchmarks.machine import describe, table, write
from benchmarks.search import hush, run
from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.data import TextTargets
from fuse_lightning.objectives import Fluency, TextSimilarity
from fuse_lightning.optimizers import (
    GCG,
    PEZ,
    AutoDAN,
    Constraints,
    PromptOptimizer,
    RandomSearch,
    SimplexDescent,
)
from fuse_lightning.search import BeamSearch, Frontier, GreedySearch, HistorySearch

WEIGHT = 22.0
BEAM, CANDIDATES, STEPS = 4, 32, 14
EVALUATIONS = CANDIDATES + (STEPS - 1) * BEAM * CANDIDATES
MOST = 1450
"""Evaluations after which a search that revises ends: as many as growth takes."""
LENGTH = 12
SWAPS = EVALUATIONS // CANDIDATES

Row = tuple[Callable[..., PromptOptimizer], dict[str, Any], Callable[[], Frontier]]


def growing(**options: Any) -> Row:
    settings = {"batch_size": CANDIDATES, "steps": STEPS, "revise": 0, **options}
    return AutoDAN, settings, lambda: BeamSearch(BEAM)


def swapping(kind: Callable[..., PromptOptimizer], frontier: Any, **options: Any) -> Row:
    settings = {"batch_size": CANDIDATES, "steps": SWAPS, "prompt_length": LENGTH, **options}
    return kind, settings, frontier


PUBLISHED = {"adapter": {"kind": "t_product"}, "gradient_samples": 0}


ROWS: dict[str, Row] = {
    "growth and edits (default)": growing(revise=None, max_evaluations=MOST),
    "growth and edits, not read": growing(revise=2, revise_reads=0, max_evaluations=MOST),
    "VGD: growth, LM proposals only": growing(gradient_weight=0.0),
    "growth, gradient as published": growing(gradient_weight=1.0, **PUBLISHED),
    "growth, lookup at a fixed token": growing(gradient_weight=1.0, gradient_samples=0),
    "growth, smoothed, 8 samples": growing(gradient_samples=8),
    "growth, smoothed, 16 samples": growing(),
    "growth, smoothed, 16 samples, weight 0.5": growing(gradient_weight=0.5),
    "growth, smoothed, 32 samples, weight 0.4": growing(gradient_samples=32, gradient_weight=0.4),
    "GCG, gradient at the prompt": swapping(
        GCG, HistorySearch, top_k=128, merge=0, gradient_samples=0
    ),
    "GCG, smoothed": swapping(GCG, HistorySearch, top_k=128, merge=0),
    "RandomSearch L0": swapping(RandomSearch, GreedySearch),
    "RandomSearch L2": swapping(RandomSearch, GreedySearch, search_ball="L2"),
    "PEZ, 4 restarts": (
        PEZ,
        {"steps": EVALUATIONS // 4, "restarts": 4, "prompt_length": LENGTH},
        GreedySearch,
    ),
    "SimplexDescent, 4 restarts": (
        SimplexDescent,
        {"steps": EVALUATIONS // 4, "restarts": 4, "prompt_length": LENGTH},
        GreedySearch,
    ),
}


def search(row: Row, models: tuple[str, str], texts: list[str]) -> tuple[list[Any], float, int]:
    """Results, seconds and exact evaluations."""
    kind, options, frontier = row
    options = dict(options)
    adapter = AdapterSettings(**options.pop("adapter", {}))
    terms = [Fluency(models[0]), TextSimilarity(models[1], WEIGHT)]
    module = kind(terms, constraints=Constraints("words"), adapter=adapter, **options)
    curves, seconds = run(module, TextTargets(texts, batch_size=8), frontier())
    evaluations = sum(curve.evaluations[-1] for curve in curves.values())
    return [result.to_dict() for result in module.results], seconds, evaluations


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writer", required=True, help="language model, such as flickr_gpt2")
    parser.add_argument("--encoder", required=True, help="such as all-MiniLM-L6-v2")
    parser.add_argument("--captions", required=True, type=Path)
    parser.add_argument("--images", required=True, type=Path)
    parser.add_argument("--targets", type=int, default=32)
    parser.add_argument("--number", type=int, default=0, help="which caption of each image")
    parser.add_argument("--only", nargs="*", help="beginnings of names of rows")
    parser.add_argument("--keep", type=Path, help="folder of results: kept, and taken up again")
    options = parser.parse_args()
    hush()
    texts = first_captions(options.captions, options.images, options.targets, options.number)
    rows = []
    for name, row in ROWS.items():
        if options.only and not name.startswith(tuple(options.only)):
            continue
        kept = options.keep and options.keep / f"{name.replace(' ', '_')}.json"
        if kept and kept.exists():
            found, seconds, evaluations = json.loads(kept.read_text())
        else:
            found, seconds, evaluations = search(row, (options.writer, options.encoder), texts)
            if kept:
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps([found, seconds, evaluations]))
        count = len(found)
        cosine = sum(1 - result["losses"]["text_similarity"] for result in found) / count
        rows.append(
            [
                name,
                f"{sum(result['loss'] for result in found) / count:.2f}",
                f"{cosine:.3f}",
                f"{sum(result['losses']['fluency'] for result in found) / count:.2f}",
                f"{evaluations / count:.0f}",
                f"{seconds / count:.1f}",
            ]
        )
        print(rows[-1], found[0]["prompt"], flush=True)
    write(
        "text_inversion",
        "# The sentence behind a sentence embedding\n\n"
        f"{describe()}\n\n"
        f"Targets: captions #{options.number} of the first {len(texts)} Flickr8k test images as "
        f"`{Path(options.encoder).name}` vectors; writer `{Path(options.writer).name}`. "
        f"J = mean NLL + {WEIGHT:.0f} (1 - cos), lower is better; best over all steps. AutoDAN "
        f"starts empty, beam {BEAM}, {STEPS} steps, at most {CANDIDATES} exact evaluations a beam "
        f"and step; the others start from {LENGTH} random tokens and have at most as many "
        "evaluations. Prompts of plain letters, commas and full stops. *VGD* (arXiv 2505.08622) is "
        "beam search of a language model, re-ranked by the objective, without gradients.\n\n"
        + table(["search", "J", "cos", "NLL", "evaluations", "s / target"], rows)
        + "\n",
    )


if __name__ == "__main__":
    main()
