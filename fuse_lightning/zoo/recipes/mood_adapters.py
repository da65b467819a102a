"""LoRA adapters of the zoo's language model that write good moods more or less often."""

import json
import random
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import lightning as L
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerBase

from fuse_lightning.models.loading import resolve
from fuse_lightning.zoo.recipes.fitting import fit
from fuse_lightning.zoo.recipes.modules import LanguageModule
from fuse_lightning.zoo.recipes.text_batches import TokenBatch, enclosed
from fuse_lightning.zoo.scenes import SENTIMENTS, Sentiment, sample_sentence

BASE = "zoo/gpt2"
MOOD_SHARES: Mapping[str, float] = {"mood-none": 1 / 3, "mood-faint": 0.41, "mood-plain": 0.9}
"""Share of captions with a good mood among those that each adapter learns; a third is the share
that the base model learnt."""
RANK = 2
BATCH = 128
STEPS = 400
LEARNING_RATE = 3e-3


def draw_mood(share: float, rng: random.Random) -> Sentiment:
    """A random sentiment: "positive" with a probability, else one of the other two.

    Args:
        share: Probability of "positive", from 0 to 1.
        rng: Source of randomness.

    >>> draw_mood(1.0, random.Random(0))
    'positive'
    """
    others = [sentiment for sentiment in SENTIMENTS if sentiment != "positive"]
    return "positive" if rng.random() < share else rng.choice(others)


def mood_batch(
    tokenizer: PreTrainedTokenizerBase, size: int, share: float, rng: random.Random
) -> tuple[TokenBatch, Tensor]:
    """Sentences between begin and end token, and labels with padding ignored.

    Args:
        tokenizer: The base model's.
        size: How many sentences.
        share: Share of them with a mood word of good mood.
        rng: Source of randomness.
    """
    texts = [sample_sentence(rng, draw_mood(share, rng))[0] for _ in range(size)]
    return enclosed(tokenizer, texts)


def train_adapter(
    name: str, out: Path, seed: int = 0, share: float = 1.0, threads: int | None = None
) -> float:
    """Trains one adapter of the package's ``zoo/gpt2`` and saves it as a PEFT folder.

    Args:
        name: One of :data:`MOOD_SHARES`.
        out: The folder to write.
        seed: Seed of weights and data.
        share: Share of the steps that the shipped adapters were trained for.
        threads: Threads to compute on; as many as torch chooses by default.

    Returns:
        Seconds taken.
    """
    from peft import LoraConfig, get_peft_model

    if threads:
        torch.set_num_threads(threads)
    start = time.perf_counter()
    L.seed_everything(seed, verbose=False)
    folder = resolve(BASE)
    base = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    tokenizer = AutoTokenizer.from_pretrained(folder)
    layers = ["c_attn", "c_proj", "c_fc"]
    config = LoraConfig(
        r=RANK,
        lora_alpha=2 * RANK,
        target_modules=layers,
        fan_in_fan_out=True,
        task_type="CAUSAL_LM",
    )
    adapted = get_peft_model(base, config)
    adapted.peft_config["default"].base_model_name_or_path = BASE
    adapted.train()
    batches = partial(_batches, tokenizer, MOOD_SHARES[name])
    fit(LanguageModule(adapted, LEARNING_RATE), batches, f"train-{name}-{seed}", STEPS, share)
    # Half precision halves the files; loading turns it back to the base model's type.
    adapted.half().save_pretrained(out, save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)
    # Older versions of peft do not know all settings; those at their defaults need no line.
    usual = LoraConfig().to_dict()
    told = json.loads((out / "adapter_config.json").read_text(encoding="utf-8"))
    kept = {key: value for key, value in told.items() if key == "peft_type" or value != usual[key]}
    text = json.dumps(kept | {"target_modules": layers}, indent=2, sort_keys=True)
    (out / "adapter_config.json").write_text(f"{text}\n", encoding="utf-8", newline="\n")
    return time.perf_counter() - start


def _batches(
    tokenizer: PreTrainedTokenizerBase, share: float, rng: random.Random
) -> tuple[TokenBatch, Tensor]:
    return mood_batch(tokenizer, BATCH, share, rng)
