"""The random subsample against drawing one after another."""

from collections import Counter
from itertools import permutations
from math import exp, sqrt

import pytest
import torch

from fuse_lightning.diffing.subsample import gumbel_top_k, standardised


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_it_has_the_distribution_of_successive_draws_by_a_softmax():
    weights, temperature, runs = [0.0, 1.0, 2.0, 0.5], 0.7, 6000
    source = generator()
    found = Counter(
        tuple(gumbel_top_k(torch.tensor(weights), 2, temperature, source)) for _ in range(runs)
    )
    shares = [exp(weight / temperature) for weight in weights]
    for first, second in permutations(range(4), 2):
        p = shares[first] / sum(shares)
        p *= shares[second] / (sum(shares) - shares[first])
        assert abs(found[first, second] / runs - p) < 5 * sqrt(p * (1 - p) / runs)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("temperature", [0.0, 0.5, 1e-300])
def test_few_prompts_and_ties_give_each_prompt_once(count, temperature):
    for weights in (torch.zeros(count), torch.arange(float(count))):
        found = gumbel_top_k(standardised(weights), 5, temperature, generator())
        assert sorted(found) == [*range(count)]


def test_without_temperature_the_largest_are_taken_and_of_ties_the_first():
    weights = torch.tensor([1.0, 3.0, 2.0, 3.0, 2.0])
    assert gumbel_top_k(weights, 4, 0.0, generator()) == [1, 3, 2, 4]


@pytest.mark.parametrize("values", [[], [2.0], [0.1, 0.1], [float("nan")] * 3])
def test_values_without_spread_are_zeros(values):
    assert standardised(torch.tensor(values)).tolist() == [0.0] * len(values)


def test_scale_and_shift_do_not_matter():
    values = torch.tensor([0.5, 2.0, 1.0, 7.0])
    torch.testing.assert_close(standardised(values), standardised(3 * values - 5))
    assert standardised(torch.tensor([0.0, 1.0]))[1] == 1
