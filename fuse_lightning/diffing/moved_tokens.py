"""Moved tokens: plausible tokens whose log-probability differs between two models."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

IMPOSSIBLE = -1e4
"""Log-probability in place of minus infinity, so that every ratio is finite."""


class MovedTokens(NamedTuple):
    """Plausible tokens at N positions: E entries, position by position, ids in order.

    Attributes:
        positions: Position of each entry, shape (E,).
        ids: Its token, shape (E,).
        log_ratios: Log-probability by A less that by B (nats), shape (E,).
        up: Whether it is among the tokens of its position that A favours most, shape (E,).
        down: Whether it is among those that B favours most, shape (E,).
    """

    positions: Tensor
    ids: Tensor
    log_ratios: Tensor
    up: Tensor
    down: Tensor


def moved_tokens(a: Tensor, b: Tensor, alpha: float, top: int) -> MovedTokens:
    """Plausible tokens of each position, and which of them moved most.

    A token is plausible where A or B gives it at least the share ``alpha`` of the probability of
    its own likeliest token. Without this floor the largest ratios are those of tokens that neither
    model would ever write.

    Args:
        a: Log-probabilities (nats) by A, shape (N, V). Minus infinity is allowed.
        b: The same by B.
        alpha: Share of the likeliest token's probability, above 0 and at most 1.
        top: Most tokens of a position that count as moved most in each direction. Of equal ones
            the lower ids count; a token that did not move never does.

    >>> a, b = torch.tensor([[0.5, 0.4, 0.1]]).log(), torch.tensor([[0.2, 0.795, 0.005]]).log()
    >>> found = moved_tokens(a, b, alpha=0.25, top=1)
    >>> found.ids, found.log_ratios.round(decimals=2), found.up, found.down
    (tensor([0, 1]), tensor([ 0.9200, -0.6900]), tensor([ True, False]), tensor([False,  True]))
    """
    share = math.log(alpha)
    plausible = a >= a.amax(-1, keepdim=True) + share
    plausible |= b >= b.amax(-1, keepdim=True) + share
    positions, ids = plausible.nonzero(as_tuple=True)
    ours, theirs = a[positions, ids], b[positions, ids]
    ratios = ours.nan_to_num(neginf=IMPOSSIBLE) - theirs.nan_to_num(neginf=IMPOSSIBLE)
    up = _largest(positions, ratios, len(a), top)
    down = _largest(positions, -ratios, len(a), top)
    return MovedTokens(positions, ids, ratios, up, down)


def _largest(positions: Tensor, values: Tensor, count: int, top: int) -> Tensor:
    """Whether each entry is among the largest of its position, and above 0, shape (E,)."""
    order = torch.sort(values, descending=True, stable=True).indices
    order = order[torch.sort(positions[order], stable=True).indices]
    sizes = torch.bincount(positions, minlength=count)
    begins = torch.repeat_interleave(sizes.cumsum(0) - sizes, sizes)
    places = torch.arange(len(order), device=order.device) - begins
    chosen = torch.zeros_like(values, dtype=torch.bool)
    chosen[order[places < top]] = True
    return chosen & (values > 0)
