"""Algebra of third-order tensors under the t-product (Kilmer and Martin 2011).

A tensor of shape (rows, columns, s) is a matrix whose entries are tubes of s numbers, multiplied
by circular convolution. A discrete Fourier transform along the tubes turns the product into s
independent matrix products; for real tensors half of them are conjugates of the others.
"""

import torch
from torch import Tensor


def t_product(a: Tensor, b: Tensor) -> Tensor:
    """Product of (l, p, s) and (p, m, s), shape (l, m, s)."""
    product = torch.einsum("lps,pms->lms", torch.fft.rfft(a), torch.fft.rfft(b))
    result: Tensor = torch.fft.irfft(product, n=a.shape[-1])
    return result


def t_transpose(a: Tensor) -> Tensor:
    """Transpose of (l, p, s), shape (p, l, s): every slice transposed, slices 2..s reversed.

    It is the adjoint: <a * x, y> = <x, t_transpose(a) * y>.
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
    """
    slices = x.shape[-1]
    x_hat, y_hat = (torch.fft.rfft(tensor).movedim(-1, 0) for tensor in (x, y))
    solutions = []
    for a, b in zip(x_hat, y_hat, strict=True):
        wide = a.shape[0] < a.shape[1]
        # The smaller Gram matrix has the same non-zero spectrum: A+ = (A'A)+ A' = A' (AA')+.
        gram = (a @ a.mH if wide else a.mH @ a).to(torch.complex128)
        values, vectors = torch.linalg.eigh(gram)
        floor = values[-1].clamp(min=0) * max(rtol**2, torch.finfo(x.dtype).eps)
        inverse = torch.where(values > floor, 1 / values, 0)
        target = (b if wide else a.mH @ b).to(torch.complex128)
        weights = (vectors * inverse) @ (vectors.mH @ target)
        solutions.append((a.mH @ weights.to(a.dtype)) if wide else weights.to(a.dtype))
    result: Tensor = torch.fft.irfft(torch.stack(solutions, dim=-1), n=slices)
    return result
