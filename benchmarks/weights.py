"""Captions of held-out zoo scenes, by the weight of the picture.

``python -m benchmarks.weights`` writes ``benchmarks/results/weights.md``.
"""

import argparse
import json
import tempfile
from pathlib import Path

from benchmarks.caption_zoo import build, config, run
from benchmarks.machine import describe, table, write
from benchmarks.search import hush
from fuse_lightning.cli.zoo import scenes
from fuse_lightning.data import ImageTargets
from fuse_lightning.models import CLIP
from fuse_lightning.search import BeamSearch

SEED = 4242
SETTINGS = {"batch_size": 32, "gradient_samples": 8, "gradient_weight": 0.25, "patience": 18}
WEIGHTS = (0.75, 1.5, 3, 6, 12, 24)
HEAD = [
    "weight of the picture",
    "objects right",
    "judge, found / true",
    "NLL, nats (true captions)",
    "1 - cos (true captions)",
    "words",
    "first prompt",
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenes", type=int, default=32)
    parser.add_argument("--beam", type=int, default=4)
    parser.add_argument("--keep", type=Path, help="folder of results: kept, and taken up again")
    options = parser.parse_args()
    hush()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    judge = CLIP("zoo/clip-judge")
    judge.load()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes(folder, options.scenes, SEED)
        first = json.loads((folder / "metadata.jsonl").read_text().splitlines()[0])["caption"]
        for weight in WEIGHTS:
            terms = config("quickstart.yaml")["terms"]
            terms[1]["init_args"]["weight"] = weight
            module = build("quickstart.yaml", terms=terms, **SETTINGS)
            keep = options.keep and options.keep / f"{weight}.json"
            data = ImageTargets(str(folder), 8)
            found, true, _ = run(module, data, BeamSearch(options.beam), folder, judge, keep)
            prompts = [result.prompt for result in module.results]
            rows.append(
                [
                    f"{weight:g}",
                    f"{found.right:.0%}",
                    f"{found.judge / true.judge:.3f}",
                    f"{found.nll:.2f} ({true.nll:.2f})",
                    f"{1 - found.cosine:.3f} ({1 - true.cosine:.3f})",
                    f"{sum(len(prompt.split()) for prompt in prompts) / len(prompts):.1f}",
                    prompts[0],
                ]
            )
            print(rows[-1], flush=True)
    write(
        "weights",
        f"# Captions by the weight of the picture\n\n{describe()}\n\n"
        f"{options.scenes} held-out zoo scenes of seed {SEED}. AutoDAN with the terms of "
        f"`configs/quickstart.yaml`, beam {options.beam}, "
        + ", ".join(f"`{name}: {value}`" for name, value in SETTINGS.items())
        + ". Only the weight of `ImageSimilarity` changes (the quickstart has 6), that of "
        "`Fluency` is 1. *Objects right*: every "
        "object's colour and shape is named. *Judge*: mean cosine under `zoo/clip-judge`, which "
        "takes no part in the search, over that of the true captions. The first scene's true "
        f"caption is *{first}*.\n\n{table(HEAD, rows)}\n",
    )


if __name__ == "__main__":
    main()
