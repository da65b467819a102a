"""Pool of candidate tokens that a language model itself finds likely at a position."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

MORE = 2
"""By how much the lists of too small a pool grow."""


def likely_pool(
    log_probs: Tensor,
    allowed: Tensor,
    top_k: int,
    intersect: int,
    pools: int,
    least: int,
    generator: torch.Generator,
) -> list[int]:
    """Tokens that are among the likeliest behind several questions at once.

    Each of ``pools`` draws takes some questions and keeps the tokens that the lists of all of them
    share. The union of these is the pool. Where it is too small, the lists grow by two, and all
    draws are repeated (GReaTer, arXiv 2412.09722, section 3; its code).

    Args:
        log_probs: Log-probabilities of the next token behind Q questions, shape (Q, V), on the CPU.
        allowed: Which tokens may be candidates, shape (V,).
        top_k: Tokens in the list of a question.
        intersect: Questions of a draw; all where there are fewer.
        pools: Number of draws; the paper makes one.
        least: Least number of tokens in the pool; fewer where no more are allowed.
        generator: Random stream of the draws.

    Returns:
        Distinct tokens, the likeliest on average first.

    >>> told = torch.tensor([[0.0, 3.0, 2.0, 1.0], [0.0, 1.0, 2.0, 3.0]])
    >>> everything = torch.ones(4, dtype=torch.bool)
    >>> likely_pool(told, everything, 2, 2, 1, 1, torch.Generator().manual_seed(0))
    [2]
    """
    most = int(allowed.sum())
    masked = log_probs.masked_fill(~allowed, -torch.inf)
    size, questions = min(top_k, most), len(log_probs)
    while True:
        listed = torch.zeros_like(masked, dtype=torch.bool)
        listed.scatter_(1, masked.topk(size, dim=1).indices, True)
        found = torch.zeros_like(allowed)
        for _ in range(pools):
            drawn = torch.randperm(questions, generator=generator)[:intersect]
            found |= listed[drawn].all(0)
        found &= allowed
        if int(found.sum()) >= min(least, most) or size >= most:
            break
        size = min(size + MORE, most)
    return likeliest_first(log_probs, found.nonzero().flatten().tolist())


def likeliest_first(log_probs: Tensor, tokens: Sequence[int]) -> list[int]:
    """Tokens by their mean log-probability behind Q questions, the likeliest first.

    Args:
        log_probs: Log-probabilities, shape (Q, V).
        tokens: The tokens.

    >>> likeliest_first(torch.tensor([[-3.0, -1.0, -2.0], [-3.0, -2.0, -0.5]]), [0, 1, 2])
    [2, 1, 0]
    """
    mean = log_probs.mean(0)
    return sorted(tokens, key=lambda token: (-float(mean[token]), token))


def ranked_tokens(change: Tensor, tokens: Sequence[int]) -> list[int]:
    """Tokens by the predicted change of the loss, the best first.

    >>> ranked_tokens(torch.tensor([0.3, -1.0, 0.1]), [0, 1, 2])
    [1, 2, 0]
    """
    return sorted(tokens, key=lambda token: (float(change[token]), token))
