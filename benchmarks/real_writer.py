"""Captions of zoo scenes by a language model with a large vocabulary.

``python -m benchmarks.real_writer FOLDER`` writes ``benchmarks/results/real_writer.md``. FOLDER is
a language model such as SmolLM2-135M-Instruct, whose 49 152 tokens face the 894 of ``zoo/clip``.
J is the mean negative log-likelihood (nats) plus 22 times the cosine distance.
"""

import argparse
import json
import tempfile
import time
from itertools import groupby, product
from pathlib import Path
from typing import Any

import torch

from benchmarks.caption_zoo import judge_scores, true_losses
from benchmarks.machine import describe, table, write
from benchmarks.search import hush, run
from fuse_lightning.cli.zoo import scenes
from fuse_lightning.data import ImageTargets
from fuse_lightning.engine.meter import total_work
from fuse_lightning.models import CLIP, CausalLM
from fuse_lightning.objectives import Fluency, ImageSimilarity
from fuse_lightning.optimizers import AutoDAN, Constraints
from fuse_lightning.search import BeamSearch
from fuse_lightning.zoo.scenes import names_all
from fuse_lightning.zoo.vocabulary import BACKGROUNDS, COUNTS, SHAPES

SEED = 20261126
PART = 8
"""Scenes of a part, which is kept as soon as it is done."""
PREFIX = "An image of"
WEIGHT = 22.0
SMALL, MIDDLE, LARGE = (4, 32, 14), (16, 40, 14), (16, 128, 16)
"""Beam, candidates of a beam, steps."""
GROWTH: dict[str, Any] = {"revise": 0}
VGD: dict[str, Any] = {"gradient_weight": 0.0}
FAMILIAR: dict[str, Any] = {"constraints": Constraints(familiar=1)}
Row = tuple[tuple[int, int, int], int | None, dict[str, Any]]
Run = tuple[int, dict[str, Any]]
"""Number of a part, and what was found there."""
ROWS: dict[str, Row] = {
    "VGD: LM proposals alone (arXiv 2505.08622)": (SMALL, None, VGD | GROWTH),
    "AutoDAN": (SMALL, None, GROWTH),
    "AutoDAN, familiar 1": (SMALL, None, FAMILIAR | GROWTH),
    "AutoDAN, familiar 1, siblings 2": (SMALL, 2, FAMILIAR | GROWTH),
    "VGD, familiar 1": (SMALL, None, VGD | FAMILIAR | GROWTH),
    "AutoDAN, familiar 1, middling": (MIDDLE, None, FAMILIAR | GROWTH),
    "VGD, familiar 1, wide": (LARGE, None, VGD | FAMILIAR | GROWTH),
    "AutoDAN, familiar 1, wide": (LARGE, None, FAMILIAR | GROWTH),
    "AutoDAN, edits": (SMALL, None, {}),
    "AutoDAN, familiar 1, edits": (SMALL, None, FAMILIAR),
    "VGD, familiar 1, edits": (SMALL, None, VGD | FAMILIAR),
    "AutoDAN, familiar 1, edits, middling": (MIDDLE, None, FAMILIAR),
    "AutoDAN, familiar 1, edits, wide": (LARGE, None, FAMILIAR),
}


def by_hand(row: dict[str, Any], *, background: bool) -> str:
    """Plain caption of a scene from its metadata, such as "two large red squares at night"."""
    phrases = []
    for (shape, color, size), group in groupby(
        row["objects"], lambda thing: (thing["shape"], thing["color"], thing["size"])
    ):
        count = len([*group])
        phrases.append(f"{COUNTS[count][0]} {size} {color} {SHAPES[shape][0][count > 1]}")
    text = f" {row['relation']} ".join(phrases)
    return f"{text} {BACKGROUNDS[row['background']][0][0]}" if background else text


def search(row: Row, model: CausalLM, folder: Path, seed: int) -> dict[str, Any]:
    """Prompts of a part, their losses, evaluations and CPU seconds, as plain containers."""
    (beam, candidates, steps), siblings, options = row
    module = build(model, batch_size=candidates, steps=steps, seed=seed, **options)
    module.load()
    begun, before = time.process_time(), total_work(model.meters)
    curves, _ = run(module, ImageTargets(str(folder), PART), BeamSearch(beam, siblings))
    return {
        "seconds": time.process_time() - begun,
        "evaluations": sum(curve.evaluations[-1] for curve in curves.values()),
        "written": total_work(model.meters).tokens - before.tokens,
        "prompts": [result.prompt for result in module.results],
        "losses": [[*result.losses.values()] for result in module.results],
    }


def build(model: CausalLM, **options: Any) -> AutoDAN:
    terms = [Fluency(model, prefix=PREFIX), ImageSimilarity("zoo/clip", WEIGHT, prefix=PREFIX)]
    return AutoDAN(terms, **options)


def over_scenes(values: torch.Tensor, parts: list[int]) -> tuple[float, float]:
    """Mean of values, and its standard error over scenes.

    Args:
        values: One for each scene of each run.
        parts: Parts of the runs.
    """
    several: dict[tuple[int, int], list[float]] = {}
    for part, some in zip(parts, values.split(len(values) // len(parts)), strict=True):
        for number, value in enumerate(some.tolist()):
            several.setdefault((part, number), []).append(value)
    means = torch.tensor([sum(some) / len(some) for some in several.values()])
    return float(values.mean()), float(means.std() / len(means) ** 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="the language model")
    parser.add_argument("--parts", type=int, default=4, help=f"of {PART} scenes each")
    parser.add_argument("--seed", type=int, default=SEED, help="of the scenes")
    parser.add_argument("--seeds", type=int, default=1, help="how many, of the search")
    parser.add_argument("--kept", action="store_true", help="report the results in --keep")
    parser.add_argument("--only", nargs="*", help="names of rows")
    parser.add_argument("--keep", type=Path, help="folder of results: kept, and taken up again")
    options = parser.parse_args()
    hush()
    with tempfile.TemporaryDirectory() as name:
        keep = options.keep or Path(name) / "keep"
        keep.mkdir(parents=True, exist_ok=True)
        folders = [Path(name) / str(part) for part in range(options.parts)]
        for part, folder in enumerate(folders):
            scenes(folder, PART, options.seed + part)
        found: dict[str, list[Run]] = {}
        model = CausalLM(options.model, dtype="bfloat16")
        for label, row in ROWS.items():
            if options.only and label not in options.only:
                continue
            for seed, part in product(range(options.seeds), range(options.parts)):
                name_of = f"{options.seed}-{part}-{seed}-{label.replace('/', '_')}.json"
                path = keep / name_of
                if not path.exists() and options.kept:
                    continue
                if not path.exists():
                    path.write_text(json.dumps(search(row, model, folders[part], seed)))
                found.setdefault(label, []).append((part, json.loads(path.read_text())))
        report(model, folders, found)


def report(model: CausalLM, folders: list[Path], found: dict[str, list[Run]]) -> None:
    """Writes the table."""
    judge = CLIP("zoo/clip-judge")
    judge.load()
    module = build(model)
    module.load()
    sets = [ImageTargets(str(folder), PART) for folder in folders]
    data = [[json.loads(line) for line in (f / "metadata.jsonl").open()] for f in folders]
    hands = {
        name: [[by_hand(row, background=there) for row in rows] for rows in data]
        for name, there in (("caption by hand", False), ("by hand, with the ground", True))
    }
    hand = [
        module.objective.total(true_losses(module, *each))
        for each in zip(sets, hands["caption by hand"], strict=True)
    ]

    def line(
        name: str, parts: list[int], texts: list[list[str]], losses: torch.Tensor
    ) -> list[str]:
        """Figures of one row, whose runs are of some parts."""
        pairs = [
            (text, row["objects"])
            for part, some in zip(parts, texts, strict=True)
            for text, row in zip(some, data[part], strict=True)
        ]
        scores = [
            judge_scores(judge, sets[part], some) for part, some in zip(parts, texts, strict=True)
        ]
        totals = module.objective.total(losses)
        gaps = totals - torch.cat([hand[part] for part in parts])
        mean, error = over_scenes(gaps, parts)
        return [
            name,
            f"{totals.mean():.2f}",
            f"{mean:+.2f} ± {error:.2f}",
            f"{losses[:, 0].mean():.2f}",
            f"{1 - losses[:, 1].mean():.3f}",
            f"{torch.cat(scores).mean():.3f}",
            f"{sum(names_all(*pair) for pair in pairs) / len(pairs):.0%}",
        ]

    rows = []
    for name, texts in hands.items():
        losses = [true_losses(module, *each) for each in zip(sets, texts, strict=True)]
        told = line(name, [*range(len(sets))], texts, torch.cat(losses))
        rows.append([*told, "", "", "", "", f"{sum(map(len, data))}"])
    for label, runs in found.items():
        parts, results = [part for part, _ in runs], [run for _, run in runs]
        count = sum(len(data[part]) for part in parts)
        losses = torch.tensor([row for run in results for row in run["losses"]])
        beam, candidates, steps = ROWS[label][0]
        scenes_of = sum(len(data[part]) for part in {*parts})
        rows.append(
            [
                *line(label, parts, [run["prompts"] for run in results], losses),
                f"{beam} x {candidates} x {steps}",
                f"{sum(run['evaluations'] for run in results) / count:.0f}",
                f"{sum(run['written'] for run in results) / count:.0f}",
                f"{sum(run['seconds'] for run in results) / count:.1f}",
                f"{scenes_of} x {count // scenes_of}",
            ]
        )
    head = ["search", "J", "J - by hand", "NLL", "cos", "judge", "objects right"]
    head += ["beam x candidates x steps", "evaluations", "writer's positions", "CPU s / scene"]
    head += ["scenes x seeds"]
    examples = "\n".join(
        f"- {label}: {', '.join(f'*{text}*' for text in runs[0][1]['prompts'][:3])}"
        for label, runs in found.items()
    )
    true = ", ".join(f"*{text}*" for text in hands["by hand, with the ground"][0][:3])
    write(
        "real_writer",
        f"# A real language model writes captions of zoo scenes\n\n{describe()}\n\n"
        f"Held-out scenes. Writer `{Path(model.model_id).name}` in bfloat16, picture model "
        f"`zoo/clip`. J = mean NLL + {WEIGHT:.0f} (1 - cos), lower is better; both terms read the "
        f'prompt behind "{PREFIX}". *Judge*: cosine under `zoo/clip-judge`, which takes no part. '
        "*Objects right*: every object's colour and shape is named. *By hand*: count, size, "
        "colour, shape and relation in the commonest words, and where the scene is. *J - by hand*: "
        "mean difference to the caption by hand of the same scene, with its standard error over "
        "scenes. *Familiar 1*: `constraints.familiar: 1`. *Siblings 2*: `BeamSearch.siblings: 2`. "
        "*Edits*: the default; all other rows have `revise: 0`. *Writer's positions*: tokens that "
        "the language model reads for a scene, padding included.\n\n"
        f"{table(head, rows)}\n\nThe first three captions (by hand: {true}):\n\n{examples}\n",
    )


if __name__ == "__main__":
    main()
