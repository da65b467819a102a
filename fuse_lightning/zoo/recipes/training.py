"""Training of the zoo's models from a seed, with Lightning."""

import math
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import nn
from transformers import PreTrainedModel

from fuse_lightning.zoo.recipes.architectures import RECIPES, image_processor
from fuse_lightning.zoo.recipes.batches import image_batch, pair_batch
from fuse_lightning.zoo.recipes.fitting import fit
from fuse_lightning.zoo.recipes.instruction_batches import instruction_batch
from fuse_lightning.zoo.recipes.modules import (
    AttributeHead,
    ImageModule,
    InstructionModule,
    LanguageModule,
    LessonModule,
    PairModule,
    SentimentModule,
    image_cells,
)
from fuse_lightning.zoo.recipes.reasoning_batches import reasoning_batch
from fuse_lightning.zoo.recipes.reasoning_module import ReasoningModule
from fuse_lightning.zoo.recipes.text_batches import sentence_batch, sentiment_batch
from fuse_lightning.zoo.render import IMAGE_SIZE

BATCH = 128
CLIP_BATCH = 64
IMAGE_STEPS = 1200
IMAGE_LEARNING_RATE = 1e-3


class Stage(NamedTuple):
    """Stage of a CLIP's training on pictures and captions.

    ``trained`` is what the names of the weights that learn begin with, ``batches`` the options of
    :func:`pair_batch`.
    """

    module: type[PairModule]
    steps: int
    learning_rate: float
    trained: str
    batches: dict[str, Any]


TEXT_TOWER = "text_"
STAGES = (
    Stage(PairModule, 2400, 1e-3, "", {"flawed": 1, "cut_share": 0.35, "mix_up": 0.3}),
    Stage(LessonModule, 800, 3e-4, TEXT_TOWER, {"flawed": 4, "cut_share": 0.4, "mix_up": 0.5}),
)
"""Stages of the CLIPs after the training of their image towers."""

TEXT_RECIPES = {
    "gpt2": (sentence_batch, LanguageModule, 2e-3, 2500),
    "sentiment": (sentiment_batch, SentimentModule, 1e-3, 1500),
    "reasoner": (reasoning_batch, ReasoningModule, 2e-3, 1500),
}
"""Batches, module, learning rate and steps of the models that read text alone."""

INSTRUCTION_STAGES = ((400, 2e-3, 1.0), (1000, 1.5e-3, 0.15))
"""Steps, learning rate and share of short captions in the stages of the model that follows
instructions. In the first it reads mood words alone, which are hard to find among other words."""


def train_model(
    name: str, out: Path, seed: int = 0, share: float = 1.0, threads: int | None = None
) -> float:
    """Trains one model and saves it as a transformers folder.

    Args:
        name: One of ``RECIPES``.
        out: The folder to write.
        seed: Seed of weights and data.
        share: Share of the steps that the shipped weights were trained for.
        threads: Threads to compute on; as many as torch chooses by default.

    Returns:
        Seconds taken.
    """
    if threads:
        torch.set_num_threads(threads)
    start = time.perf_counter()
    L.seed_everything(seed, verbose=False)
    model, tokenizer = RECIPES[name](seed)
    for part in model.modules():
        if isinstance(part, PreTrainedModel):
            # The fused kernel's backward is several times slower on short texts on a CPU.
            part.set_attn_implementation("eager")
    source = f"train-{name}-{seed}"
    if name in TEXT_RECIPES:
        make, module, learning_rate, steps = TEXT_RECIPES[name]
        batches = partial(make, tokenizer, BATCH)
        fit(module(model, learning_rate), batches, source, steps, share)
    elif name == "instruct":
        for number, (steps, learning_rate, short) in enumerate(INSTRUCTION_STAGES):
            lines = partial(instruction_batch, tokenizer, BATCH, short=short)
            lesson = InstructionModule(model, learning_rate)
            fit(lesson, lines, f"{source}-{number}", steps, share)
    else:
        head = AttributeHead(model.config.projection_dim)
        with torch.no_grad():
            probe = model.vision_model(torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE))
        grid = math.isqrt(image_cells(probe.last_hidden_state).shape[1])
        images = ImageModule(model, IMAGE_LEARNING_RATE, head)
        make_images = partial(image_batch, CLIP_BATCH, grid)
        fit(images, make_images, f"{source}-images", IMAGE_STEPS, share)
        flaw_head = nn.Linear(model.config.text_config.hidden_size, 2)
        for number, stage in enumerate(STAGES):
            for key, weight in model.named_parameters():
                weight.requires_grad_(key.startswith(stage.trained))
            pairs = stage.module(model, stage.learning_rate, head, flaw_head)
            make_pairs = partial(pair_batch, tokenizer, CLIP_BATCH, **stage.batches)
            fit(pairs, make_pairs, f"{source}-pairs-{number}", stage.steps, share)
        image_processor().save_pretrained(out)
    # Half precision halves the package; loading turns it back to float32.
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    return time.perf_counter() - start
