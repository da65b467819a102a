"""Linear maps from the embeddings of a word's m source tokens to those of its n target tokens."""

from typing import Literal

import torch
from torch import Tensor

from fuse_lightning.adapters.tproduct import t_pinv_product

MapKind = Literal["t_product", "least_squares"]
RIDGE = 0.01


def fit_map(kind: MapKind, source: Tensor, target: Tensor) -> Tensor:
    """Fits the linear map from the embeddings of m source tokens to those of n target tokens.

    Args:
        kind: "t_product" (arXiv 2408.04816), or "least_squares", the general linear map.
        source: Embeddings of N words in m tokens, shape (N, m, d_A).
        target: Embeddings of the same words in n tokens, shape (N, n, d_B).

    Returns:
        The map as (m, n, d_A, d_B): target token j is the sum over i of source token i times
        ``map[i, j]``.

    Example:
        >>> source = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]], [[1.0, 1.0]]])
        >>> target = source @ torch.tensor([[2.0], [3.0]])
        >>> fit_map("t_product", source, target).squeeze().round(decimals=4).tolist()
        [2.0, 3.0]
    """
    m, n = source.shape[1], target.shape[1]
    if kind == "t_product":
        slices = max(m, n)
        x, y = (_pad_slices(tensor, slices).movedim(1, -1) for tensor in (source, target))
        tensor = t_pinv_product(x, y)
        # Slice k of a circular convolution takes source slice i to target slice i + k modulo s.
        return torch.stack(
            [torch.stack([tensor[..., (j - i) % slices] for j in range(n)]) for i in range(m)]
        )
    x, y = (tensor.flatten(1) for tensor in (source, target))
    x, y = x - x.mean(0), y - y.mean(0)
    gram = x.T @ x
    ridge = RIDGE * gram.diagonal().mean().clamp(min=1e-12)
    gram.diagonal().add_(ridge)
    weights = torch.cholesky_solve(x.T @ y, torch.linalg.cholesky(gram))
    return weights.view(m, source.shape[2], n, target.shape[2]).permute(0, 2, 1, 3).contiguous()


def check_maps(maps: dict[str, Tensor], sizes: tuple[int, int], most: int) -> None:
    """Checks shapes and values of maps, such as those that a file holds.

    Args:
        maps: Maps by "m.n", shape (m, n, d_A, d_B).
        sizes: The sizes d_A and d_B of both models' embeddings.
        most: Largest m and n.

    Raises:
        ValueError: If there are none, or one has another name, shape, type, or is not finite.
    """
    if not maps:
        raise ValueError("it holds no maps")
    for name, weights in maps.items():
        m, n = (int(part) for part in name.split("."))
        if not 1 <= min(m, n) <= max(m, n) <= most or weights.shape != (m, n, *sizes):
            raise ValueError(f"it holds {name!r} of shape {tuple(weights.shape)}")
        if weights.dtype != torch.float32 or not weights.isfinite().all():
            raise ValueError(f"{name!r} is not of finite 32-bit numbers")


def _pad_slices(tensor: Tensor, slices: int) -> Tensor:
    return torch.nn.functional.pad(tensor, (0, 0, 0, slices - tensor.shape[1]))


def pull_back(weights: Tensor, gradient: Tensor) -> Tensor:
    """Gradients at source embeddings from those at target embeddings: the adjoint of a map.

    Args:
        weights: A map, shape (m, n, d_A, d_B).
        gradient: Shape (N, n, d_B).

    Returns:
        Shape (N, m, d_A).

    Example:
        >>> weights = torch.tensor([2.0, 3.0]).view(1, 1, 2, 1)
        >>> pull_back(weights, torch.tensor([[[10.0]]])).tolist()
        [[[20.0, 30.0]]]
    """
    return torch.einsum("ijab,njb->nia", weights, gradient)
