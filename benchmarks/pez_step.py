"""One step of PEZ with the text tower of a CLIP ViT-H/14.

``python -m benchmarks.pez_step`` writes ``benchmarks/results/pez_step.md``. Random weights; the
tower has 24 layers of width 1024 and a vocabulary of 49 408, the prompt 16 tokens. Beside it a
step over all 77 positions with a second run to score, as published.
"""

import argparse
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel

from benchmarks.machine import describe, table, write
from benchmarks.search import hush, run
from fuse_lightning.data import ImageTargets
from fuse_lightning.models import CLIP
from fuse_lightning.objectives import ImageSimilarity
from fuse_lightning.optimizers import PEZ
from fuse_lightning.search import GreedySearch
from fuse_lightning.zoo.recipes.architectures import image_processor
from fuse_lightning.zoo.recipes.tokenizers import clip_tokenizer

LENGTH, POSITIONS = 16, 77


def build(folder: Path) -> None:
    """A CLIP with that text tower, and the smallest of image towers."""
    tokenizer = clip_tokenizer(0)
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text = {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "hidden_act": "gelu",
        "vocab_size": 49408,
        "max_position_embeddings": POSITIONS,
        "pad_token_id": tokenizer.pad_token_id,
        **ids,
    }
    vision = {
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 1,
        "image_size": 64,
        "patch_size": 32,
    }
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=1024))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    image_processor().save_pretrained(folder)


def padded_step(tower: Any, table: torch.Tensor, ids: torch.Tensor) -> None:
    """Forward and backward over all positions, and a forward to score."""
    embeds = table[ids].detach().requires_grad_()
    attend(tower, embeds).pow(2).sum().backward()
    with torch.no_grad():
        attend(tower, embeds)


def attend(tower: Any, embeds: torch.Tensor) -> torch.Tensor:
    mask = torch.full((POSITIONS, POSITIONS), -torch.inf).triu(1)[None, None]
    embeds = embeds + tower.embeddings.position_embedding.weight[None]
    return tower.encoder(inputs_embeds=embeds, attention_mask=mask).last_hidden_state


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=8)
    options = parser.parse_args()
    hush()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder / "clip")
        Image.new("RGB", (64, 64), "red").save(folder / "a.png")
        model = CLIP(str(folder / "clip"))
        module = PEZ([ImageSimilarity(model)], steps=options.steps, prompt_length=LENGTH)
        module.load()
        tower = model.module.text_model
        widths: list[int] = []
        tower.final_layer_norm.register_forward_hook(
            lambda _, __, output: widths.append(output.shape[1])
        )
        propose = module.propose
        runs: list[int] = []

        def counted(states: Any) -> Any:
            runs.append(len(widths))
            return propose(states)

        module.propose = counted  # type: ignore[method-assign]
        curves, _ = run(module, ImageTargets("a.png", root=str(folder)), GreedySearch())
        seconds = curves["a"].seconds
        own = median(b - a for a, b in pairwise(seconds))
        each = [b - a for a, b in zip(runs, [*runs[1:], len(widths)], strict=True)]
        ids = torch.randint(0, 800, (1, POSITIONS))
        times = []
        for _ in range(options.steps):
            start = time.perf_counter()
            padded_step(tower, model.embedding_table, ids)
            times.append(time.perf_counter() - start)
        padded = median(times)
    rows = [
        [
            "PEZ",
            str(max(widths)),
            f"{sum(each) / len(each):.2f}",
            f"{own:.2f}",
        ],
        ["padded, scored again", str(POSITIONS), "2", f"{padded:.2f}"],
    ]
    write(
        "pez_step",
        "# A step of PEZ, text tower of ViT-H/14\n\n"
        f"{describe()} {torch.get_num_threads()} threads, float32.\n\n"
        f"{LENGTH} prompt tokens, 1 restart, random weights. Where a projection spells a text that "
        "is read as other tokens the run has a second row: what is scored is the text. The padded "
        f"step takes {padded / own:.1f} times as long.\n\n"
        + table(["step", "positions", "runs of the encoder", "s / step"], rows)
        + "\n",
    )


if __name__ == "__main__":
    main()
