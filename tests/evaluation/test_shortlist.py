"""Rank tiers and the accuracy of the best, by simulation of prompts that are known."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.paired import mcnemar, wins_and_losses
from fuse_lightning.evaluation.shortlist import cross_fitted, rank_tiers


def answers(*shares, examples, seed=0):
    """Independent answers of prompts that are right with these chances."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(len(shares), examples, generator=generator) < torch.tensor(shares)[:, None]


def test_prompts_far_apart_have_tiers_of_their_own():
    right = answers(0.5, 0.95, 0.2, 0.95, examples=400)
    assert rank_tiers(right) == [2, 1, 3, 1]


def test_one_prompt_and_equal_prompts_are_of_tier_1():
    assert rank_tiers(answers(0.3, examples=9)) == [1]
    assert rank_tiers(answers(0.3, examples=50).expand(5, -1)) == [1] * 5


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(0.1, 0.9), min_size=1, max_size=7), st.integers(0, 99))
def test_tiers_are_told_from_the_best_of_the_tier_before(shares, seed):
    right = answers(*shares, examples=60, seed=seed)
    tiers = rank_tiers(right)
    assert sorted({*tiers}) == [*range(1, max(tiers) + 1)]
    pairs = max(1, len(shares) * (len(shares) - 1) // 2)
    for tier in {*tiers}:
        inside = [i for i, each in enumerate(tiers) if each == tier]
        after = [i for i, each in enumerate(tiers) if each > tier]
        best = max(inside + after, key=lambda i: right[i].sum())
        assert tiers[best] == tier
        for other in after:
            assert mcnemar(*wins_and_losses(right[best], right[other])) <= 0.05
        for other in inside:
            assert (
                other == best or mcnemar(*wins_and_losses(right[best], right[other])) > 0.05 / pairs
            )


def test_equal_prompts_seldom_fall_into_two_tiers():
    trials = 300
    split = sum(
        max(rank_tiers(answers(*[0.7] * 8, examples=80, seed=s))) > 1 for s in range(trials)
    )
    assert split / trials <= 0.05


def test_the_highest_accuracy_is_too_high_and_the_cross_fitted_one_is_not():
    truth, trials = 0.6, 200
    runs = [answers(*[truth] * 6, examples=50, seed=seed) for seed in range(trials)]
    naive = torch.tensor([right.double().mean(1).max() for right in runs])
    fair = torch.tensor([cross_fitted(right, repeats=20, seed=3) for right in runs])
    error = fair.std().item() / math.sqrt(trials)
    assert fair.mean().item() == pytest.approx(truth, abs=4 * error)
    assert naive.mean().item() > truth + 10 * error


def test_of_one_prompt_the_cross_fitted_accuracy_is_its_accuracy():
    right = answers(0.4, examples=40)
    assert cross_fitted(right) == pytest.approx(right.double().mean().item(), rel=1e-12)


def test_of_a_prompt_far_ahead_it_is_its_accuracy():
    right = answers(0.2, 0.9, 0.3, examples=200)
    assert cross_fitted(right) == pytest.approx(right[1].double().mean().item(), rel=1e-12)


def test_cross_fitted_accuracies_repeat():
    right = answers(0.5, 0.5, examples=31)
    assert cross_fitted(right, seed=1) == cross_fitted(right, seed=1)
    assert cross_fitted(right, seed=1) != cross_fitted(right, seed=2)


def test_one_example_cannot_be_halved():
    with pytest.raises(FuseError, match="1 test examples cannot be halved; give at least 2"):
        cross_fitted(torch.ones(2, 1, dtype=torch.bool))
