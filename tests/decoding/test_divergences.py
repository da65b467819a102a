"""Divergences of two distributions against plain float64 Python."""

import math

import pytest
import torch
from hypothesis import given, settings

from fuse_lightning.decoding.divergences import divergences
from fuse_lightning.decoding.readers import furthest
from tests.decoding import oracle
from tests.decoding.distributions import rows
from tests.near import assert_near


@given(drawn=rows(2, count=2))
@settings(max_examples=60)
def test_divergences_equal_plain_arithmetic(drawn):
    a, b = torch.tensor(drawn, dtype=torch.float64).unbind(1)
    found = torch.stack(divergences(a, b), 1)
    expected = torch.tensor([oracle.divergences(*pair) for pair in drawn], dtype=torch.float64)
    assert not found.isnan().any()
    assert_near(found, expected, size=20.0)
    single = torch.stack(divergences(a.float(), b.float()), 1)
    assert_near(single, expected, size=20.0)


@given(drawn=rows(2))
def test_divergences_of_the_swapped_pair(drawn):
    a, b = torch.tensor(drawn).unbind(1)
    one, other = divergences(a, b), divergences(b, a)
    assert torch.equal(one.kl, other.reverse_kl)
    for name in ("js", "tv", "centred_l1"):
        assert_near(getattr(one, name), getattr(other, name), size=20.0)
    assert float(one.js) <= math.log(2) + 1e-6
    assert 0 <= float(one.tv) <= 1 + 1e-6


@given(drawn=rows(1))
def test_equal_distributions_do_not_diverge(drawn):
    row = torch.tensor(drawn)[:, 0]
    assert all(float(each) == 0 for each in divergences(row, row.clone()))


def test_three_tokens_by_hand():
    a, b = torch.tensor([[0.5, 0.25, 0.25]]).log(), torch.tensor([[0.25, 0.5, 0.25]]).log()
    found = divergences(a, b)
    middle = 0.375
    js = 0.5 * math.log(0.5 / middle) + 0.25 * math.log(0.25 / middle)
    # Log-ratios are log 2, -log 2 and 0, whose mean is 0.
    expected = [0.25 * math.log(2)] * 2 + [js, 0.25, 2 / 3 * math.log(2)]
    assert_near(torch.cat(found), torch.tensor(expected))


@pytest.mark.parametrize("apart", [110.0, 300.0])
def test_a_tiny_probability_is_not_impossible(apart):
    """exp(-110) is 0 in float32; KL(A || B) is finite all the same."""
    a, b = torch.tensor([[0.5, 0.5]]).log(), torch.tensor([[0.0, -apart]])
    found = divergences(a, b)
    assert_near(found.kl, torch.tensor([math.log(0.5) + apart / 2]))
    assert_near(found.reverse_kl, torch.tensor([math.log(2)]))
    assert_near(found.centred_l1, torch.tensor([apart / 2]))


@given(drawn=rows(4))
@settings(max_examples=60)
def test_the_furthest_layer(drawn):
    last, *early = drawn[0]
    number, apart = oracle.furthest(early, last)
    logits = torch.tensor(early, dtype=torch.float64)[None] + 3.0
    found = furthest(logits, torch.tensor([last], dtype=torch.float64) - 1.5)
    equal = [
        layer
        for layer, value in zip(early, apart, strict=True)
        if value == apart[number] or abs(value - apart[number]) < 1e-9
    ]
    # Of nearly equal ones rounding may choose any.
    taken = (found[0] - 3.0).tolist()
    assert any(taken == pytest.approx(layer) for layer in equal)


def test_each_row_has_its_own_furthest_layer():
    """Rows that are read beside others choose as they choose alone."""
    generator = torch.Generator().manual_seed(0)
    early, last = torch.randn(8, 4, 6, generator=generator), torch.randn(8, 6, generator=generator)
    together = furthest(early, last)
    alone = torch.cat([furthest(early[[row]], last[[row]]) for row in range(8)])
    assert torch.equal(together, alone)
    numbers = {oracle.furthest(early[row].tolist(), last[row].tolist())[0] for row in range(8)}
    assert len(numbers) > 1
