"""Paired tests against enumeration, hand calculation and simulation."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ttest_rel

from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.paired import (
    holm,
    mcnemar,
    needed_examples,
    paired_worse,
    wins_and_losses,
)

counts = st.integers(0, 60)
p_values = st.lists(st.floats(0, 1), max_size=12)


def enumerated(wins, losses):
    """Share of all outcomes of fair coins that are no likelier than this one, exactly."""
    n = wins + losses
    this = math.comb(n, wins)
    far = sum(ways for k in range(n + 1) if (ways := math.comb(n, k)) <= this)
    return Fraction(far, 2**n)


@given(counts, counts)
def test_mcnemar_is_the_enumerated_binomial(wins, losses):
    assert mcnemar(wins, losses) == pytest.approx(float(enumerated(wins, losses)), rel=1e-9)
    assert mcnemar(wins, losses) == pytest.approx(mcnemar(losses, wins), rel=1e-12)


def test_wins_and_losses_of_all_four_cases():
    first = torch.tensor([True, True, True, False, False])
    second = torch.tensor([True, False, False, True, False])
    assert wins_and_losses(first, second) == (2, 1)
    assert wins_and_losses(second, first) == (1, 2)


@given(p_values)
def test_holm_is_its_definition(values):
    adjusted = holm(values)
    for value, found in zip(values, adjusted, strict=True):
        smaller = [other for other in values if other <= value]
        # The largest over the smaller ones of: the value times how many are no smaller than it.
        expected = max(min(1, sum(each >= other for each in values) * other) for other in smaller)
        assert found == pytest.approx(expected, rel=1e-12)
        assert value <= found <= 1
    order = sorted(range(len(values)), key=values.__getitem__)
    ordered = [adjusted[index] for index in order]
    assert ordered == sorted(ordered)


@pytest.mark.parametrize(
    ("wins", "losses", "examples", "alpha"),
    [(30, 15, 200, 0.05), (12, 2, 100, 0.05), (55, 45, 400, 0.05), (30, 15, 200, 0.05 / 4)],
)
def test_the_needed_examples_show_the_difference_in_8_of_10_cases(wins, losses, examples, alpha):
    needed = needed_examples(wins, losses, examples, alpha)
    shares = wins / examples, losses / examples, 1 - (wins + losses) / examples
    trials = 1500
    cells = np.random.default_rng(3).multinomial(needed, shares, size=trials)
    pairs, times = np.unique(cells[:, :2], axis=0, return_counts=True)
    shown = [mcnemar(int(w), int(b)) < alpha for w, b in pairs]
    assert times[shown].sum() / trials == pytest.approx(0.8, abs=0.04)


@given(counts, counts, counts)
def test_needed_examples_turn_with_the_sides(wins, losses, others):
    examples = wins + losses + others
    if wins == losses:
        assert needed_examples(wins, losses, examples) is None
    else:
        needed = needed_examples(wins, losses, examples)
        assert needed == needed_examples(losses, wins, examples)
        assert mcnemar(needed, 0) < 0.05
        assert needed <= needed_examples(wins, losses, examples, power=0.9)


def test_needed_examples_by_hand():
    # Connor: (1.95996 sqrt(0.225) + 0.84162 sqrt(0.225 - 0.075²))² / 0.075² = 310.9; 1 / 0.075
    assert needed_examples(60, 30, 400) == math.ceil(310.9 + 13.4)


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_paired_worse_is_the_paired_t_test(alpha):
    generator = torch.Generator().manual_seed(0)
    losses = torch.rand(40, 12, generator=generator, dtype=torch.float64)
    losses += torch.linspace(-0.5, 0.5, 40, dtype=torch.float64)[:, None]
    other = torch.rand(12, generator=generator, dtype=torch.float64)
    p = [ttest_rel(row, other, alternative="greater").pvalue for row in losses.numpy()]
    worse = paired_worse(losses - other, alpha)
    assert worse.tolist() == [value < alpha for value in p]
    assert worse.any()
    assert not worse.all()


def test_paired_worse_of_rows_without_variance():
    rows = torch.tensor([[0.5] * 3, [-0.5] * 3, [0.0] * 3])
    assert paired_worse(rows, 0.05).tolist() == [True, False, False]


def test_paired_worse_of_losses_that_are_no_finite_numbers():
    rows = torch.tensor(
        [[math.inf, 0.0, 0.0], [-math.inf, 1.0, 1.0], [math.nan, 1.0, 1.0], [1.0, 1.1, 0.9]]
    )
    assert paired_worse(rows, 0.05).tolist() == [True, False, False, True]


@pytest.mark.parametrize("examples", [0, 1])
def test_of_less_than_two_examples_nothing_is_worse(examples):
    assert paired_worse(torch.full((3, examples), 9.0), 0.05).tolist() == [False] * 3


def test_equal_candidates_are_worse_at_the_level():
    differences = torch.randn(4000, 16, generator=torch.Generator().manual_seed(1))
    share = paired_worse(differences, 0.2).double().mean().item()
    assert share == pytest.approx(0.2, abs=4 * math.sqrt(0.2 * 0.8 / 4000))


def test_a_level_out_of_range_is_refused():
    with pytest.raises(FuseError, match="alpha is 2; it must be at least 0 and at most 1"):
        paired_worse(torch.zeros(1, 3), 2)
