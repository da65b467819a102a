"""Captions of zoo scenes by a language model with a large vocabulary.

``python -m benchmarks.real_writer FOLDER`` writes ``benchmarks/results/real_writer.md``. FOLDER is
a language model such as SmolLM2-135M-Instruct, whose 49 152 tokens face the 894 of ``zoo/clip``.
J is the mean negative log-likelihood (nats) plus 22 times the cosine distance.
"""

import argparse
import json
import tempfile
import time
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import torch

from benchmarks.caption_zoo import judge_scores, true_losses
from benchmarks.machine import describe, table, write
from benchmarks.search import hush, run
from fuse_lightning.cli.zoo import scenes
from fuse_lightning.data import ImageTargets
from fuse_lightning.models import CLIP
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
VGD: dict[str, Any] = {"gradient_weight": 0.0}
FAMILIAR: dict[str, Any] = {"constraints": Constraints(familiar=1)}
Row = tuple[tuple[int, int, int], int | None, dict[str, Any]]
ROWS: dict[str, Row] = {
    "VGD: LM proposals alone (arXiv 2505.08622)": (SMALL, None, VGD),
    "AutoDAN": (SMALL, None, {}),
    "AutoDAN, familiar 1": (SMALL, None, FAMILIAR),
    "AutoDAN, familiar 1, siblings 2": (SMALL, 2, FAMILIAR),
    "VGD, familiar 1": (SMALL, None, VGD | FAMILIAR),
    "AutoDAN, familiar 1, middling": (MIDDLE, None, FAMILIAR),
    "VGD, familiar 1, wide": (LARGE, None, VGD | FAMILIAR),
    "AutoDAN, familiar 1, wide": (LARGE, None, FAMILIAR),
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


def search(row: Row, model: str, folder: Path) -> dict[str, Any]:
    """Prompts of a part, their losses, evaluations and CPU seconds, as plain containers."""
    (beam, candidates, steps), siblings, options = row
    module = build(model, batch_size=candidates, steps=steps, **options)
    module.load()
    begun = time.process_time()
    curves, _ = run(module, ImageTargets(str(folder), PART), BeamSearch(beam, siblings))
    return {
        "seconds": time.process_time() - begun,
        "evaluations": sum(curve.evaluations[-1] for curve in curves.values()),
        "prompts": [result.prompt for result in module.results],
        "losses": [[*result.losses.values()] for result in module.results],
    }


def build(model: str, **options: Any) -> AutoDAN:
    terms = [Fluency(model, prefix=PREFIX), ImageSimilarity("zoo/clip", WEIGHT, prefix=PREFIX)]
    return AutoDAN(terms, **options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="the language model")
    parser.add_argument("--parts", type=int, default=4, help=f"of {PART} scenes each")
    parser.add_argument("--seed", type=int, default=SEED)
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
        found: dict[str, list[dict[str, Any]]] = {}
        for label, row in ROWS.items():
            if options.only and label not in options.only:
                continue
            for part, folder in enumerate(folders):
                path = keep / f"{options.seed}-{part}-{label.replace('/', '_')}.json"
                if not path.exists():
                    path.write_text(json.dumps(search(row, options.model, folder)))
                found.setdefault(label, []).append(json.loads(path.read_text()))
        report(options.model, folders, found)


def report(model: str, folders: list[Path], found: dict[str, list[dict[str, Any]]]) -> None:
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
    count = sum(map(len, data))

    def line(name: str, texts: list[list[str]], losses: torch.Tensor, *work: str) -> list[str]:
        pairs = zip(chain(*data), chain(*texts), strict=True)
        right = [names_all(text, row["objects"]) for row, text in pairs]
        scores = [judge_scores(judge, *each) for each in zip(sets, texts, strict=True)]
        return [
            name,
            f"{module.objective.total(losses).mean():.2f}",
            f"{losses[:, 0].mean():.2f}",
            f"{1 - losses[:, 1].mean():.3f}",
            f"{torch.cat(scores).mean():.3f}",
            f"{sum(right) / count:.0%}",
            *work,
        ]

    rows = []
    for name, texts in hands.items():
        losses = [true_losses(module, *each) for each in zip(sets, texts, strict=True)]
        rows.append(line(name, texts, torch.cat(losses), "", "", ""))
    for label, parts in found.items():
        beam, candidates, steps = ROWS[label][0]
        rows.append(
            line(
                label,
                [part["prompts"] for part in parts],
                torch.tensor([row for part in parts for row in part["losses"]]),
                f"{beam} x {candidates} x {steps}",
                f"{sum(part['evaluations'] for part in parts) / count:.0f}",
                f"{sum(part['seconds'] for part in parts) / count:.1f}",
            )
        )
    head = ["search", "J", "NLL", "cos", "judge", "objects right"]
    head += ["beam x candidates x steps", "evaluations", "CPU s / scene"]
    examples = "\n".join(
        f"- {label}: {', '.join(f'*{text}*' for text in parts[0]['prompts'][:3])}"
        for label, parts in found.items()
    )
    true = ", ".join(f"*{text}*" for text in hands["by hand, with the ground"][0][:3])
    write(
        "real_writer",
        f"# A real language model writes captions of zoo scenes\n\n{describe()}\n\n"
        f"{count} held-out scenes, one seed. Writer `{Path(model).name}`, picture model "
        f"`zoo/clip`. J = mean NLL + {WEIGHT:.0f} (1 - cos), lower is better; both terms read the "
        f'prompt behind "{PREFIX}". *Judge*: cosine under `zoo/clip-judge`, which takes no part. '
        "*Objects right*: every object's colour and shape is named. *By hand*: count, size, "
        "colour, shape and relation in the commonest words, and where the scene is. *Familiar 1*: "
        "`constraints.familiar: 1`. *Siblings 2*: `BeamSearch.siblings: 2`.\n\n"
        f"{table(head, rows)}\n\nThe first three captions (by hand: {true}):\n\n{examples}\n",
    )


if __name__ == "__main__":
    main()
