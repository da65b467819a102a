"""Random subsample by weights: Gumbel-top-k over standardised figures."""

from __future__ import annotations

import torch
from torch import Tensor


def standardised(values: Tensor) -> Tensor:
    """Values with mean 0 and standard deviation 1; zeros where all are equal.

    What is no finite number counts as the mean.

    Args:
        values: Shape (N,).

    >>> standardised(torch.tensor([1.0, 3.0, float("nan")]))
    tensor([-1.,  1.,  0.], dtype=torch.float64)
    >>> standardised(torch.tensor([0.1, 0.1, 0.1]))
    tensor([0., 0., 0.], dtype=torch.float64)
    """
    exact = values.double()
    known = exact.isfinite()
    # Of equal values the mean may differ by rounding, which is no spread.
    if not known.any() or exact[known].min() == exact[known].max():
        return torch.zeros_like(exact)
    apart = (exact - exact[known].mean()).where(known, 0)
    return apart / exact[known].std(correction=0)


def gumbel_top_k(
    weights: Tensor, count: int, temperature: float, generator: torch.Generator
) -> list[int]:
    """Numbers of a random subsample without replacement, in the order of drawing.

    It has the distribution of drawing one after another by a softmax of the weights that are left,
    divided by the temperature (arXiv 1903.06059).

    Args:
        weights: Higher: drawn earlier. Shape (N,).
        count: Size of the subsample; at most N are drawn.
        temperature: 0 takes the largest weights; of equal ones the first.
        generator: Source of the random numbers, on the CPU.

    >>> generator = torch.Generator().manual_seed(0)
    >>> gumbel_top_k(torch.tensor([0.0, 2.0, 1.0, 2.0]), 3, 0.0, generator)
    [1, 3, 2]
    >>> gumbel_top_k(torch.tensor([]), 3, 1.0, generator)
    []
    """
    keys = weights.double()
    if temperature > 0:
        # An exponential number is above 0 but for rounding, and minus its logarithm is Gumbel.
        noise = torch.empty_like(keys).exponential_(generator=generator)
        keys = keys / temperature - noise.clamp(min=torch.finfo(keys.dtype).tiny).log()
    order: list[int] = keys.argsort(descending=True, stable=True)[:count].tolist()
    return order
