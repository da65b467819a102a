"""Divergences of two distributions of the next token."""

from typing import NamedTuple

import torch
from torch import Tensor

CACHED = 65_536
"""Numbers of one row that the caches of a processor hold together with what is made of them."""


class Divergences(NamedTuple):
    """Divergences of N pairs of distributions A and B, each of shape (N,).

    Higher: they differ more.

    Attributes:
        kl: Kullback-Leibler divergence KL(A || B) in nats.
        reverse_kl: KL(B || A) in nats.
        js: Jensen-Shannon divergence in nats, at most log 2.
        tv: Total variation: half of the summed absolute differences of probabilities, from 0 to 1.
        centred_l1: Mean absolute difference of the logits, each row's mean taken off, so that a
            constant added to all logits changes nothing. Tokens that either finds impossible do
            not count.
    """

    kl: Tensor
    reverse_kl: Tensor
    js: Tensor
    tv: Tensor
    centred_l1: Tensor


def divergences(a: Tensor, b: Tensor) -> Divergences:
    """Divergences of two distributions, which depend on no weights.

    Args:
        a: Log-probabilities (nats) of each token by A, shape (N, V). Minus infinity is allowed.
        b: The same by B.

    >>> a, b = torch.tensor([[0.5, 0.5, 0.0]]).log(), torch.tensor([[0.25, 0.5, 0.25]]).log()
    >>> found = divergences(a, b)
    >>> found.kl.round(decimals=3), found.reverse_kl, found.tv
    (tensor([0.3470]), tensor([inf]), tensor([0.2500]))
    """
    size = max(1, CACHED // a.shape[-1]) if a.device.type == "cpu" else len(a)
    if len(a) <= size:
        return _divergences(a, b)
    parts = [
        _divergences(*pair) for pair in zip(torch.split(a, size), torch.split(b, size), strict=True)
    ]
    return Divergences(*map(torch.cat, zip(*parts, strict=True)))


def _divergences(a: Tensor, b: Tensor) -> Divergences:
    p, q = a.exp(), b.exp()
    difference = a - b
    smallest, largest = torch.aminmax(difference)
    # Minus infinities are rare, and looking after them takes more than all the rest.
    if torch.isfinite(smallest) and torch.isfinite(largest):
        # Log-probabilities of the mean, exactly those of A and B where these are equal.
        middle = torch.maximum(a, b)
        middle += (-difference.abs()).expm1_().div_(2).log1p_()
        both = torch.linalg.vecdot(p, a - middle) + torch.linalg.vecdot(q, b - middle)
        return Divergences(
            torch.linalg.vecdot(p, difference).clamp(min=0),
            torch.linalg.vecdot(q, -difference).clamp(min=0),
            (both / 2).clamp(min=0),
            (p - q).abs().sum(-1) / 2,
            (difference - difference.mean(-1, keepdim=True)).abs().mean(-1),
        )
    both = torch.isfinite(difference)
    known = difference.where(both, 0)
    # Where A is 0 a token adds nothing; where only B is 0 it adds infinity. The logarithm says
    # which is 0: small probabilities round to it.
    never, reverse_never = torch.isneginf(a), torch.isneginf(b)
    kl = torch.linalg.vecdot(p, known).clamp(min=0) + _infinite(~never & reverse_never)
    reverse = torch.linalg.vecdot(q, -known).clamp(min=0) + _infinite(never & ~reverse_never)
    # Of equal probabilities the ratio to their mean is 1 exactly.
    middle = (p + q) / 2
    middle = middle.where(middle > 0, 1)
    js = (torch.xlogy(p, p / middle) + torch.xlogy(q, q / middle)).sum(-1).clamp(min=0) / 2
    count = both.sum(-1).clamp(min=1)
    centred = (known - (known.sum(-1) / count)[..., None]).where(both, 0).abs()
    tv = (p - q).abs().sum(-1) / 2
    return Divergences(kl, reverse, js, tv, centred.sum(-1) / count)


def _infinite(alone: Tensor) -> Tensor:
    """Infinity for rows with any token that one distribution alone finds possible, else 0."""
    return torch.zeros(alone.shape[:-1], device=alone.device).masked_fill(alone.any(-1), torch.inf)
