"""Prompts, and checks of what is written behind them."""

import random

import torch

from fuse_lightning.engine.attention import NAME, use
from tests.near import SINGLE, assert_near


def known_ids(model):
    special = {*model.tokenizer.all_special_ids}
    return [index for index in range(model.vocab_size) if index not in special]


def prompts_of(model, seed=0, shared=6, count=5):
    """Rows of many lengths: some begin alike, one begins another, one stands alone."""
    rng = random.Random(seed)
    known = known_ids(model)
    first = rng.choices(known, k=shared)
    rows = [(*first, *rng.choices(known, k=rng.randint(1, 7))) for _ in range(count)]
    return [*rows, tuple(first[:3]), tuple(rng.choices(known, k=2))]


def whole_logits(model, row):
    """Logits at each token of a row that is read alone, without anything kept."""
    shared = model.text_config._attn_implementation == NAME
    if shared:
        use(model.module, "sdpa")
    with torch.no_grad():
        logits = model.module(input_ids=torch.tensor([row]), use_cache=False).logits[0]
    if shared:
        use(model.module, NAME)
    return logits


def assert_greedy(model, prompt, ids, log_probs, share=SINGLE):
    """Each token is the likeliest behind what stands before it, up to rounding."""
    logits = whole_logits(model, (*prompt, *ids)).float()[len(prompt) - 1 : -1]
    chosen = logits.gather(1, torch.tensor(ids)[:, None]).squeeze(1)
    best = logits[:, : model.vocab_size].max(1).values
    assert_near(chosen, best, float(logits.abs().max()), share)
    assert_near(torch.tensor(log_probs), chosen - logits.logsumexp(1), share=share)
