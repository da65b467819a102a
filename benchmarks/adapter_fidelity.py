"""Rank correlation of gradients through a FUSE adapter with the true losses of word swaps.

``python -m benchmarks.adapter_fidelity --source ID --target ID --captions FILE --images FILE``
writes ``benchmarks/results/adapter_fidelity.md``. The captions are the Flickr8k file (image#n, tab,
caption); those of the named test images are used.
"""

import argparse
from pathlib import Path

from benchmarks.flickr import first_captions
from benchmarks.machine import describe, table, write
from fuse_lightning.cli.quiet import quiet_transformers
from fuse_lightning.evaluation.adapter_fidelity import RECIPES, Recipe, fidelity
from fuse_lightning.models.auto import auto_model

DAMPED = tuple(Recipe("lookup", samples, damping=0.75) for samples in (0, 4, 8, 16))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="language model, such as flickr_gpt2")
    parser.add_argument("--target", required=True, help="encoder, such as all-MiniLM-L6-v2")
    parser.add_argument("--captions", required=True, type=Path)
    parser.add_argument("--images", required=True, type=Path)
    parser.add_argument("--positions", type=int, default=40)
    options = parser.parse_args()
    quiet_transformers()
    captions = first_captions(options.captions, options.images, 2 * options.positions)
    texts = [caption.rstrip(" .").lower() for caption in captions]
    source, target = auto_model(options.source), auto_model(options.target)
    rows = fidelity(
        source, target, texts, options.positions, recipes=[*RECIPES, Recipe("lookup", 16), *DAMPED]
    )
    write(
        "adapter_fidelity",
        "# Fidelity of gradients across tokenizers\n\n"
        f"{describe()}\n\n"
        f"Source `{Path(options.source).name}`, target `{Path(options.target).name}`; "
        f"{options.positions} positions in captions of Flickr8k test images, 400 random "
        "whole-word tokens at each. The loss is the cosine distance to another caption. "
        "rho: Spearman's rank correlation of predicted and true losses. "
        "Recall: of the true best 10 among the predicted best 40 (chance 0.10).\n\n"
        + table(
            ["gradient", "rho", "recall"],
            [
                [str(recipe), f"{rho:.2f}", f"{recall:.2f}"]
                for recipe, (rho, recall) in rows.items()
            ],
        )
        + "\n",
    )


if __name__ == "__main__":
    main()
