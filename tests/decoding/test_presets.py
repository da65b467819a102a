"""Presets against the decoding that others publish."""

import pytest
import torch

from fuse_lightning.decoding.presets import PRESETS, amplification, guidance, proxy, residual
from fuse_lightning.decoding.processor import ContrastiveLogitsProcessor
from tests.decoding import oracle
from tests.decoding.generating import MODES, generate, rows
from tests.near import assert_near


@pytest.mark.parametrize("mode", ["greedy", "sampling", "warped"])
@pytest.mark.parametrize("scale", [0.5, 1.7, 4.0])
@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3"])
def test_guidance_is_that_of_transformers(network_of, name, scale, mode):
    """Token by token, behind one prompt with and one without an instruction."""
    network = network_of(name)
    with_it, without = rows(9), rows(4, seed=1)
    processor = ContrastiveLogitsProcessor([network], guidance(scale), prompts=[without])
    found = generate(
        network, with_it, logits_processor=[processor], max_new_tokens=10, **MODES[mode]
    )
    expected = generate(
        network,
        with_it,
        guidance_scale=scale,
        negative_prompt_ids=torch.tensor(without),
        max_new_tokens=10,
        **MODES[mode],
    )
    assert found == expected
    if scale == 4.0:
        assert found != generate(network, with_it, max_new_tokens=10, **MODES[mode])


def streams(count, size=7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(count, 1, size, generator=generator, dtype=torch.float64)
    return logits.log_softmax(-1)


@pytest.mark.parametrize("amount", [0.0, 0.5, 2.0])
def test_published_formulas(amount):
    """Written as in the papers; rows of scores are known up to a constant."""
    a, b, c = pair = streams(3)
    log_softmax = torch.log_softmax
    found = {
        "guidance": (b + amount * (a - b), pair[:2], (amount,)),
        "context_aware": ((1 + amount) * a - amount * b, pair[:2], (amount,)),
        "amplification": (a + amount * (a - b), pair[:2], (amount,)),
        "proxy": (a + amount * (c - b), pair, (amount,)),
    }
    for name, (formula, given, options) in found.items():
        scores = PRESETS[name](*options).scores(given)
        assert_near(log_softmax(scores, -1), log_softmax(formula, -1), size=20.0)


@pytest.mark.parametrize(("beta", "strength"), [(None, None), (0.5, 0.5), (0.0, 0.0)])
def test_contrastive_decoding_of_expert_and_amateur(beta, strength):
    """Arrays of the two papers, token by token: the plausible ones alone have a score."""
    pair = streams(2, size=30)
    expert, amateur = (row[0].tolist() for row in pair)
    scores = PRESETS["contrastive"](beta).scores(pair)[0].tolist()
    for token, score in enumerate(scores):
        if oracle.exp(expert)[token] < 0.1 * max(oracle.exp(expert)):
            assert score == -oracle.INF
        elif beta is None:
            assert score == pytest.approx(expert[token] - amateur[token])
        else:
            expected = (1 + strength) * expert[token] - strength * amateur[token]
            assert score == pytest.approx(expected)
    assert 1 < sum(score > -oracle.INF for score in scores) < 30


def test_the_residual_is_that_of_maximal_coupling():
    """What B writes with the chance min(p_A, p_B), and the residual writes else, is A's."""
    pair = streams(2)
    p, q = pair.exp()
    rest = residual(0.0).scores(pair).softmax(-1)
    together = torch.minimum(p, q)
    assert_near(together + (1 - together.sum(-1, keepdim=True)) * rest, p)


def test_ends_of_the_presets():
    """At these strengths one stream alone is left."""
    pair = streams(3)
    for contrast, number in (
        (guidance(1.0), 0),
        (guidance(0.0), 1),
        (amplification(0.0), 0),
        (amplification(-1.0), 1),
        (proxy(0.0), 0),
    ):
        scores = contrast.scores(pair[: len(contrast.weights)])
        assert_near(scores, pair[number])
