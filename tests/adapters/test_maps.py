"""Fitted maps and their pull-backs."""

import pytest
import torch

from fuse_lightning.adapters.maps import RIDGE, fit_map, pull_back
from fuse_lightning.adapters.tproduct import t_pinv_product, t_product
from tests.near import assert_near, near


def words(n, tokens, width, seed):
    return torch.randn(
        n, tokens, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    )


def apply(weights, source):
    return torch.einsum("ijab,nia->njb", weights, source)


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 3), (3, 1), (2, 3), (4, 4)])
def test_t_product_map_is_the_padded_t_product(m, n):
    slices = max(m, n)
    x, y = words(50, m, 5, 0), words(50, n, 4, 1)
    padded = [torch.zeros(50, width, slices, dtype=torch.float64) for width in (5, 4)]
    padded[0][..., :m], padded[1][..., :n] = x.movedim(1, 2), y.movedim(1, 2)
    expected = t_product(padded[0], t_pinv_product(*padded))[..., :n].movedim(1, 2)
    assert_near(apply(fit_map("t_product", x, y), x), expected)


@pytest.mark.parametrize("kind", ["t_product", "least_squares"])
@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 3), (3, 1), (2, 3), (4, 4)])
def test_pull_back_equals_finite_differences_through_the_map(kind, m, n):
    weights = fit_map(kind, words(60, m, 5, 0), words(60, n, 4, 1))
    source = words(3, m, 5, 2)
    curve = words(1, n, 4, 3)

    def loss(e):
        return (torch.sin(apply(weights, e)) * curve).sum()

    target = apply(weights, source).requires_grad_()
    (gradient,) = torch.autograd.grad((torch.sin(target) * curve).sum(), target)
    carried = pull_back(weights, gradient)
    step = 1e-6
    for index in torch.cartesian_prod(*(torch.arange(size) for size in source.shape)):
        bump = torch.zeros_like(source)
        bump[tuple(index)] = step
        slope = (loss(source + bump) - loss(source - bump)) / (2 * step)
        assert carried[tuple(index)] == near(float(slope), float(carried.abs().max()), 1e-6)


def test_least_squares_map_is_the_ridge_solution_of_centred_words():
    x, y = words(80, 2, 3, 0), words(80, 3, 4, 1)
    flat_x, flat_y = (t.flatten(1) - t.flatten(1).mean(0) for t in (x, y))
    gram = flat_x.T @ flat_x
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(6, dtype=torch.float64)
    solution = torch.linalg.inv(gram + ridge) @ flat_x.T @ flat_y
    weights = fit_map("least_squares", x, y)
    assert_near(apply(weights, x).flatten(1), x.flatten(1) @ solution)


@pytest.mark.parametrize("kind", ["t_product", "least_squares"])
def test_a_single_word_is_enough(kind):
    weights = fit_map(kind, words(1, 2, 3, 0).float(), words(1, 1, 4, 1).float())
    assert torch.isfinite(weights).all()
