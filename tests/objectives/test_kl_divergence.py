from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.objectives import KLDivergence
from tests.near import SINGLE, assert_near
from tests.objectives.causal import (
    PREFIX,
    batches,
    both_ways,
    check_differences,
    check_gradients,
    every_lm,
    plain,
    prompt_places,
    prompts_of,
)

TEXT = "two red houses at night!"


@pytest.fixture(scope="module")
def objectives(causal_folders):
    return {name: both_ways(KLDivergence, folder) for name, folder in causal_folders.items()}


def reference(model, text, owner):
    """Means over tokens of sums over the vocabulary, with a pseudo-inverse of the whole table."""
    whole = plain(model, f"{PREFIX} {text}")
    inverse = torch.linalg.pinv(whole.table)
    losses = []
    for place in prompt_places(model, text):
        expected = whole.logits[place - 1, : len(whole.table)].softmax(-1)
        implied = (whole.embeds[0, place] @ inverse).softmax(-1)
        losses.append((expected * (expected / implied).log()).sum())
    return torch.stack(losses).mean(), whole


@every_lm
@settings(max_examples=6, deadline=None)
@given(texts=batches)
def test_loss_is_the_mean_divergence_of_each_prompt_alone(objectives, name, texts):
    objective = objectives[name]
    losses = objective.losses(prompts_of(objective, texts))
    for text, row in zip(texts, losses, strict=True):
        expected, _ = reference(objective.primary, text, 0)
        assert_near(row, expected.expand(2))


@every_lm
def test_gradients_are_those_of_each_prompt_alone(objectives, name):
    objective = objectives[name]
    check_gradients(objective, prompts_of(objective, [TEXT, "sea,", "a dog's 3"]), reference)


def test_gradient_equals_differences(causal_folders, monkeypatch):
    objective = both_ways(KLDivergence, causal_folders["tiny"])
    check_differences(objective, prompts_of(objective, [TEXT, "sea,"]), monkeypatch)


def test_it_is_called_by_its_words():
    assert KLDivergence("any").name == "kl_divergence"


def term_with(table):
    term = KLDivergence("any")
    term.model = SimpleNamespace(embedding_table=table)
    return term


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(2, 40),
    width=st.integers(2, 12),
    rank=st.integers(1, 12),
    spread=st.floats(0, 3),
)
def test_scores_are_those_of_the_pseudo_inverse(seed, rows, width, rank, spread):
    """Also of tables with fewer rows than columns, or with columns that repeat."""
    generator = torch.Generator().manual_seed(seed)
    rank = min(rank, width)
    table = torch.randn(rows, width, generator=generator)
    # Columns of very different size, and copies of the first ones.
    table *= 10 ** -torch.linspace(0, spread, width)
    table[:, rank:] = table[:, torch.arange(width - rank) % rank]
    embeds = torch.randn(5, width, generator=generator) @ torch.diag(table.abs().amax(0))
    expected = embeds.double() @ torch.linalg.pinv(table.double(), rtol=1e-6)
    got = term_with(table).scores(embeds)
    scale = max(1.0, float(expected.abs().max()))
    assert_near(got, expected, size=scale, share=1e-3)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(13, 60))
def test_weights_of_token_embeddings_are_at_most_one(seed, rows):
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(rows, 8, generator=generator)
    scores = term_with(table).scores(table)
    assert scores.abs().max() <= 1 + SINGLE
    assert_near(scores @ table, table, share=1e-3)


def test_half_precision_tables_are_inverted_exactly():
    table = torch.randn(300, 16, generator=torch.Generator().manual_seed(0))
    table = (table * torch.logspace(0, -3, 16)).bfloat16()
    expected = table.double() @ torch.linalg.pinv(table.double())
    assert_near(term_with(table).scores(table), expected)
