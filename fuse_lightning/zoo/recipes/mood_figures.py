"""How often the zoo's language model and its adapters write mood words, and what else changes."""

import random
from collections.abc import Iterable
from pathlib import Path

import torch

from fuse_lightning.models import CausalLM
from fuse_lightning.zoo.moods import has_mood
from fuse_lightning.zoo.recipes.mood_adapters import BASE, MOOD_SHARES
from fuse_lightning.zoo.scenes import named_objects, sample_sentence

MAX_TOKENS = 56
"""Most tokens of a written caption; the longest of the grammar's have fewer."""


def mood_figures(folder: Path, count: int, seed: int) -> dict[str, float]:
    """Figures of ``zoo/gpt2`` and of the adapters in a folder, on captions that trained nothing.

    Args:
        folder: Folder with one folder an adapter.
        count: Captions to let each model write, and captions to read.
        seed: Seed of them.

    Returns:
        Name to value; shares in [0, 1], and nats per token, lower is better.

    Raises:
        FuseError: If an adapter is missing.
    """
    models = {"gpt2": BASE} | {name: str(folder / name) for name in MOOD_SHARES}
    rng = random.Random(f"evaluate-moods-{seed}")
    unmoved = [sample_sentence(rng, "none")[0] for _ in range(count)]
    figures: dict[str, float] = {}
    for name, model_id in models.items():
        model = CausalLM(model_id)
        model.load()
        texts = written_captions(model, count, seed)
        figures |= {
            f"{name} captions with a good mood": _share(has_mood(t, "positive") for t in texts),
            f"{name} captions with a bad mood": _share(has_mood(t, "negative") for t in texts),
            f"{name} captions that name an object": _share(map(named_objects, texts)),
            f"{name} nats per token, captions without mood": nats_per_token(model, unmoved),
        }
    return figures


def written_captions(model: CausalLM, count: int, seed: int) -> list[str]:
    """Captions that a model writes from the start, by its probabilities.

    Args:
        model: The model, loaded.
        count: How many captions.
        seed: Seed of them. Two models draw with the same random numbers, so that their captions
            differ only where their probabilities do.
    """
    written = model.generate(
        [model.start_ids], MAX_TOKENS, temperature=1.0, samples=count, seed=seed
    )
    return model.decode(written.ids)


@torch.no_grad()
def nats_per_token(model: CausalLM, texts: list[str]) -> float:
    """Mean cross-entropy of texts and their ends (nats per token).

    Args:
        model: The model, loaded.
        texts: The texts.
    """
    end = model.tokenizer.decode(model.end_ids[:1])
    rows = model.encode([text + end for text in texts])
    counted = rows.mask.index_fill(1, torch.tensor(0), False)
    return float(model.token_nll(rows.ids, counted).sum() / counted.sum())


def _share(held: Iterable[object]) -> float:
    """Share of values that are true."""
    values = [bool(value) for value in held]
    return sum(values) / len(values)
