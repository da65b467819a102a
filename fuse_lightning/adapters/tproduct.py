"""Algebra of third-order tensors under the t-product (Kilmer and Martin 2011).

A tensor of shape (rows, columns, s) is a matrix whose entries are tubes of s numbers, multiplied
by circular convolution. A discrete Fourier transform along the tubes turns the product into s
independent matrix products; for real tensors half of them are conjugates of the others.
"""

import torch
from torch import Tensor


def t_product(a: Tensor, b: Tensor) -> Tensor:
    """Product of (l, p, s) and (p, m, s), shape (l, m, s).

    Example:
        >>> a, b = torch.tensor([[[1.0, 2.0]]]), torch.tensor([[[3.0, 4.0]]])
        >>> t_product(a, b).round().tolist()
        [[[11.0, 10.0]]]
    """
    product = torch.einsum("lps,pms->lms", torch.fft.rfft(a), torch.fft.rfft(b))
    result: Tensor = torch.fft.irfft(product, n=a.shape[-1])
    return result


def t_transpose(a: Tensor) -> Tensor:
    """Transpose of (l, p, s), shape (p, l, s): every slice transposed, slices 2..s reversed.

    It is the adjoint: <a * x, y> = <x, t_transpose(a) * y>.

    Example:
        >>> t_transpose(torch.tensor([[[1.0, 2.0, 3.0]]])).tolist()
        [[[1.0, 3.0, 2.0]]]
    """
    return torch.cat([a[..., :1], a[..., 1:].flip(-1)], dim=-1).transpose(0, 1)


def t_pinv_product(x: Tensor, y: Tensor, rtol: float = 1e-6) -> Tensor:
    """pinv(x) * y, the least-squares solution T of x * T = y of least norm.

    Computed from Gram matrices, (p, p) for each Fourier slice, so that the many rows cost one
    product and memory stays small.

    Args:
        x: Shape (N, p, s).
        y: Shape (N, q, s).
        rtol: Singular values of a Fourier slice below ``rtol`` times the largest count as zero.

    Returns:
        Shape (p, q, s), of the type of ``x``.

    Example:
        >>> x = torch.tensor([[[1.0, 2.0]], [[0.0, 1.0]]])
        >>> y = t_product(x, torch.tensor([[[5.0, 7.0]]]))
        >>> t_pinv_product(x, y).round(decimals=3).tolist()
        [[[5.0, 7.0]]]
    """
    slices = x.shape[-1]
    x_hat, y_hat = (torch.fft.rfft(tensor).movedim(-1, 0) for tensor in (x, y))
    solutions = []
    for index, (a, b) in enumerate(zip(x_hat, y_hat, strict=True)):
        # The constant slice, and the alternating one of an even number, have no imaginary part.
        real = 2 * index % slices == 0
        solutions.append(_pinv_product(a.real, b.real, rtol) if real else _pinv_product(a, b, rtol))
    result: Tensor = torch.fft.irfft(torch.stack(solutions, dim=-1), n=slices)
    return result


def _pinv_product(a: Tensor, b: Tensor, rtol: float) -> Tensor:
    """pinv(a) @ b for one slice, real or complex."""
    wide = a.shape[0] < a.shape[1]
    # The smaller Gram matrix has the same non-zero spectrum: A+ = (A'A)+ A' = A' (AA')+.
    double = torch.promote_types(a.dtype, torch.float64)
    gram = (a @ a.mH if wide else a.mH @ a).to(double)
    target = (b if wide else a.mH @ b).to(double)
    floor = max(rtol**2, torch.finfo(a.dtype).eps)
    # If gram - floor * trace is positive definite no singular value counts as zero, and the much
    # cheaper Cholesky factor gives the same solution: the trace is above the largest eigenvalue.
    shifted = gram.clone()
    shifted.diagonal().sub_(floor * gram.diagonal().real.sum())
    if int(torch.linalg.cholesky_ex(shifted).info) == 0:
        weights = torch.cholesky_solve(target, torch.linalg.cholesky(gram))
    else:
        values, vectors = torch.linalg.eigh(gram)
        inverse = torch.where(values > floor * values[-1].clamp(min=0), 1 / values, 0)
        weights = (vectors * inverse) @ (vectors.mH @ target)
    weights = weights.to(a.dtype)
    return a.mH @ weights if wide else weights
