"""The t-product algebra against its definition in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.adapters import t_pinv_product, t_product, t_transpose
from tests.near import assert_near


def circular(a, b):
    """The definition: matrix products of slices, circularly convolved."""
    slices = a.shape[-1]
    out = torch.zeros(a.shape[0], b.shape[1], slices, dtype=a.dtype)
    for i in range(slices):
        for j in range(slices):
            out[..., (i + j) % slices] += a[..., i] @ b[..., j]
    return out


def block_circulant(a):
    """The matrix that acts on unfolded tensors as the t-product with ``a`` does."""
    slices = a.shape[-1]
    rows = [
        torch.cat([a[..., (i - j) % slices] for j in range(slices)], dim=1) for i in range(slices)
    ]
    return torch.cat(rows)


def unfold(a):
    return torch.cat(list(a.unbind(-1)))


def random(seed, *shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


sizes = st.integers(1, 5)


@settings(max_examples=40, deadline=None)
@given(sizes, sizes, sizes, sizes, st.integers(0, 10**6))
def test_product_equals_circular_convolution_and_block_circulant_matrix(p, q, r, s, seed):
    a, b = random(seed, p, q, s), random(seed + 1, q, r, s)
    expected = circular(a, b)
    assert_near(t_product(a, b), expected)
    assert_near(block_circulant(a) @ unfold(b), unfold(expected))


@settings(max_examples=40, deadline=None)
@given(sizes, sizes, sizes, sizes, sizes, st.integers(0, 10**6))
def test_product_is_associative(p, q, r, t, s, seed):
    a, b, c = random(seed, p, q, s), random(seed + 1, q, r, s), random(seed + 2, r, t, s)
    left, right = t_product(t_product(a, b), c), t_product(a, t_product(b, c))
    assert_near(left, right)


@settings(max_examples=40, deadline=None)
@given(sizes, sizes, sizes, sizes, st.integers(0, 10**6))
def test_transpose_is_adjoint_and_reverses_products(p, q, r, s, seed):
    a, x, y = random(seed, p, q, s), random(seed + 1, q, r, s), random(seed + 2, p, r, s)
    parts = t_product(a, x) * y
    other = (x * t_product(t_transpose(a), y)).sum()
    assert_near(parts.sum(), other, size=float(parts.abs().sum()))
    assert_near(t_transpose(t_product(a, x)), t_product(t_transpose(x), t_transpose(a)))
    assert torch.equal(t_transpose(t_transpose(a)), a)


def test_transpose_reverses_the_slices_behind_the_first():
    a = random(0, 2, 3, 4)
    for slice_, source in enumerate((0, 3, 2, 1)):
        assert torch.equal(t_transpose(a)[..., slice_], a[..., source].T)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), sizes, sizes, sizes, st.integers(0, 10**6))
def test_pseudo_inverse_product_equals_that_of_the_block_circulant_matrix(n, p, q, s, seed):
    x, y = random(seed, n, p, s), random(seed + 1, n, q, s)
    solution = t_pinv_product(x, y)
    assert solution.shape == (p, q, s)
    expected = torch.linalg.pinv(block_circulant(x), rtol=1e-6) @ unfold(y)
    assert_near(unfold(solution), expected, share=1e-6)


@pytest.mark.parametrize("slices", [1, 2, 3, 4])
def test_pseudo_inverse_product_recovers_a_map(slices):
    x, true = random(0, 40, 6, slices), random(1, 6, 5, slices)
    found = t_pinv_product(x.float(), t_product(x, true).float())
    assert_near(found, true.float())


def test_pseudo_inverse_product_of_deficient_rows_has_least_norm():
    x = random(0, 10, 2, 3)
    x = torch.cat([x, x], dim=1)
    y = random(1, 10, 4, 3)
    expected = torch.linalg.pinv(block_circulant(x), rtol=1e-6) @ unfold(y)
    assert_near(unfold(t_pinv_product(x, y)), expected, share=1e-7)
