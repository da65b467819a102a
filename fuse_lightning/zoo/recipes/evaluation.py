"""Figures of the zoo's models on scenes outside their training."""

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from fuse_lightning.models import CLIP, CausalLM, Classifier
from fuse_lightning.models.loading import ZOO
from fuse_lightning.objectives import Fluency, Objective
from fuse_lightning.zoo.false_captions import corruptions, edits, exchanges
from fuse_lightning.zoo.recipes.instruction_figures import instruction_figures
from fuse_lightning.zoo.recipes.mood_figures import mood_figures
from fuse_lightning.zoo.recipes.reasoning_figures import reasoning_figures
from fuse_lightning.zoo.recipes.text_batches import made_up
from fuse_lightning.zoo.render import render
from fuse_lightning.zoo.scenes import (
    SENTIMENTS,
    sample_scene,
    sample_sentence,
    sample_wording,
)
from fuse_lightning.zoo.vocabulary import MOODS

RETRIEVAL = 256
CHUNK = 512


def evaluate_zoo(scenes: int, seed: int, weights: Path | None = None) -> dict[str, float]:
    """All figures of the model card.

    Args:
        scenes: Scenes, and captions, to measure on.
        seed: Seed of them.
        weights: Folder with the models.

    Returns:
        Name to value; shares in [0, 1], entropies in nats per token.

    Raises:
        FuseError: If a model is missing.
    """
    folder = weights or ZOO
    figures = mood_figures(folder, 4 * scenes, seed)
    for name in ("clip", "clip-judge"):
        model = CLIP(str(folder / name))
        model.load()
        figures |= {f"{name} {key}": value for key, value in _pairs(model, scenes, seed).items()}
    figures |= _language(CausalLM(str(folder / "gpt2")), scenes, seed)
    figures |= instruction_figures(CausalLM(str(folder / "instruct")), scenes, seed)
    figures |= reasoning_figures(CausalLM(str(folder / "reasoner")), scenes, seed)
    figures |= _sentiment(Classifier(str(folder / "sentiment")), 4 * scenes, seed)
    return figures


@torch.no_grad()
def text_vectors(model: CLIP, texts: Sequence[str]) -> Tensor:
    """Features of many texts, (N, d)."""
    order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
    parts = []
    for start in range(0, len(order), CHUNK):
        chunk = [texts[index] for index in order[start : start + CHUNK]]
        parts.append(model.text_features(model.encode(chunk)))
    vectors = torch.cat(parts)
    return vectors[torch.tensor(order).argsort()]


def _pairs(model: CLIP, count: int, seed: int) -> dict[str, float]:
    rng = random.Random(f"evaluate-{seed}")
    scenes = [sample_scene(rng) for _ in range(count)]
    images = model.image_features([render(scene, rng) for scene in scenes])
    wordings = [sample_wording(scene, rng, full=True)[0] for scene in scenes]
    true = text_vectors(model, [wording.text() for wording in wordings])
    own = (images * true).sum(-1)
    figures: dict[str, float] = {}
    value_wins = every_wins = grammar_wins = swap_wins = two_kinds = 0
    for index, (scene, wording) in enumerate(zip(scenes, wordings, strict=True)):
        false = list(edits(scene, wording))
        cosines = text_vectors(model, [edit.text() for _, _, edit in false]) @ images[index]
        # One wording for each false value, and then every synonym of every false value.
        values = {(attribute, value, _place(wording, edit)) for attribute, value, edit in false}
        chosen = [
            rng.choice(
                [
                    float(cosine)
                    for cosine, (attribute, value, edit) in zip(cosines, false, strict=True)
                    if (attribute, value, _place(wording, edit)) == key
                ]
            )
            for key in sorted(values)
        ]
        swaps = [swap.text() for swap in exchanges(wording)]
        if swaps:
            two_kinds += 1
            swap_wins += bool((text_vectors(model, swaps) @ images[index]).max() < own[index])
        value_wins += max(chosen) < float(own[index])
        every_wins += bool(cosines.max() < own[index])
        bad = list(corruptions(wording.text(), rng).values())
        grammar_wins += bool((text_vectors(model, bad) @ images[index]).max() < own[index])
    figures["above every false attribute value"] = value_wins / count
    figures["above every synonym of every false value"] = every_wins / count
    figures["above exchanged attributes"] = swap_wins / max(1, two_kinds)
    figures["above ungrammatical versions"] = grammar_wins / count
    distinct: dict[object, int] = {}
    for number, scene in enumerate(scenes):
        distinct.setdefault(scene, number)
    places = list(distinct.values())[:RETRIEVAL]
    similarity = images[places] @ true[places].T
    right = torch.arange(len(places))
    figures[f"retrieval among {len(places)}, image to text"] = float(
        (similarity.argmax(1) == right).float().mean()
    )
    figures[f"retrieval among {len(places)}, text to image"] = float(
        (similarity.argmax(0) == right).float().mean()
    )
    return figures


def _place(wording: object, edit: object) -> int:
    """Index of the noun phrase that an edit changed; -1 for the rest of the caption."""
    before, after = wording.phrases, edit.phrases  # type: ignore[attr-defined]
    return next((i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b), -1)


def _language(model: CausalLM, count: int, seed: int) -> dict[str, float]:
    rng = random.Random(f"evaluate-{seed}")
    term = Fluency(model)
    objective = Objective([term])
    objective.load()
    sentences = [sample_sentence(rng) for _ in range(4 * count)]
    end = model.end_ids[0]
    encoded = objective.encode_prompts([text for text, _ in sentences])
    states = [(*state, end) for state in encoded]
    prompts = objective.prompts(states, [0] * len(states))
    tokens = torch.tensor([len(state) for state in states])
    nll = float((objective.losses(prompts)[:, 0] * tokens).sum() / tokens.sum())
    entropy = -sum(log_prob for _, log_prob in sentences) / float(tokens.sum())
    return {
        "gpt2 nats per token": nll,
        "grammar nats per token": entropy,
        "gpt2 perplexity over the grammar's": float(torch.tensor(nll - entropy).exp()),
    }


@torch.no_grad()
def _sentiment(model: Classifier, count: int, seed: int) -> dict[str, float]:
    rng = random.Random(f"evaluate-{seed}")
    model.load()
    true = {word for words in MOODS.values() for word in words}
    captions, labels, fakes = [], [], []
    for _ in range(count):
        sentiment = rng.choice(SENTIMENTS)
        wording, _ = sample_wording(sample_scene(rng), rng, sentiment)
        captions.append(wording.text())
        labels.append(SENTIMENTS.index(sentiment))
        if wording.mood:
            fake = wording._replace(mood=made_up(wording.mood, rng))
            fakes += [fake.text()] if fake.mood not in true else []
    neutral = SENTIMENTS.index("none")
    return {
        "sentiment accuracy": _accuracy(model, captions, labels),
        "sentiment accuracy, made-up mood words": _accuracy(model, fakes, [neutral] * len(fakes)),
    }


def _accuracy(model: Classifier, texts: list[str], labels: list[int]) -> float:
    predicted = model.logits(model.encode(texts)).argmax(1)
    return float((predicted == torch.tensor(labels)).float().mean())
