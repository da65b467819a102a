"""Contrastive decoding of a real model against the formula of arXiv 2210.15097, token by token.

The environment variable ``FUSE_SMOLLM2`` names a folder with SmolLM2-135M-Instruct.
"""

import copy
import math
import os
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from fuse_lightning.decoding.loop import ContrastiveLoop
from fuse_lightning.decoding.presets import contrastive
from fuse_lightning.decoding.processor import ContrastiveLogitsProcessor
from tests.decoding import oracle
from tests.decoding.generating import generate

FOLDER = os.environ.get("FUSE_SMOLLM2", "")
COUNT = 12
PROMPTS = ["The capital of France is", "My favourite animal is the cat, because it"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (FOLDER and Path(FOLDER).is_dir()),
        reason="FUSE_SMOLLM2 names no folder with SmolLM2-135M-Instruct",
    ),
]


@pytest.fixture(scope="module")
def expert():
    config = AutoConfig.from_pretrained(FOLDER)
    # Weights that were read from a GGUF file are plain ones by now.
    vars(config).pop("quantization_config", None)
    network = AutoModelForCausalLM.from_pretrained(FOLDER, config=config, dtype="float32").eval()
    network.generation_config.eos_token_id = None
    return network


@pytest.fixture(scope="module")
def amateur(expert):
    """The first half of the layers, with the same norm and head."""
    half = copy.deepcopy(expert.config)
    half.num_hidden_layers //= 2
    network = type(expert)(half)
    kept = network.state_dict().keys()
    network.load_state_dict({name: expert.state_dict()[name] for name in kept})
    return network.eval()


@pytest.fixture(scope="module")
def tokenizer():
    return AutoTokenizer.from_pretrained(FOLDER)


@torch.no_grad()
def published(expert, amateur, ours, theirs):
    """The likeliest tokens by log p_expert - log p_amateur among the plausible ones."""
    written = []
    for _ in range(COUNT):
        rows = []
        for network, begin in ((expert, ours), (amateur, theirs)):
            ids = torch.tensor([[*begin, *written]])
            logits = network(ids, use_cache=False).logits[0, -1].double()
            rows.append(oracle.log_softmax(logits.tolist()))
        first, second = rows
        least = math.log(0.1) + max(first)
        plausible = [token for token, each in enumerate(first) if each >= least]
        written.append(max(plausible, key=lambda token: first[token] - second[token]))
    return written


@pytest.mark.parametrize("kind", ["fewer_layers", "another_system_text"])
def test_texts_are_the_published_ones(expert, amateur, tokenizer, kind):
    """Two prompts at once, of different lengths, against each of them alone without a cache."""
    other = amateur if kind == "fewer_layers" else expert
    ours = [tokenizer(prompt).input_ids for prompt in PROMPTS]
    theirs = ours
    if kind == "another_system_text":
        theirs = [tokenizer(f"Answer like a pirate. {prompt}").input_ids for prompt in PROMPTS]
    expected = [published(expert, other, *pair) for pair in zip(ours, theirs, strict=True)]
    loop = ContrastiveLoop([other], contrastive(), prompts=[theirs])
    options = {"max_new_tokens": COUNT, "pad_token_id": 2}
    assert generate(expert, ours, custom_generate=loop, **options) == expected
    width = max(map(len, ours))
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in ours])
    processor = ContrastiveLogitsProcessor(
        [other], contrastive(), attention_mask=mask, prompts=[theirs]
    )
    assert generate(expert, ours, logits_processor=[processor], **options) == expected
    plain = generate(expert, ours, **options)
    assert expected != plain
