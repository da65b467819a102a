"""Edits of prompts: a token replaced, inserted or removed."""

import torch
from torch import Tensor

from fuse_lightning.objectives import State


def replaced(state: State, place: int, token: int) -> State:
    """A prompt with another token at a position.

    >>> replaced((5, 6, 7), 1, 9)
    (5, 9, 7)
    """
    return (*state[:place], token, *state[place + 1 :])


def inserted(state: State, place: int, token: int) -> State:
    """A prompt with one more token before a position.

    >>> inserted((5, 6, 7), 1, 9)
    (5, 9, 6, 7)
    """
    return (*state[:place], token, *state[place:])


def shortened(state: State) -> list[State]:
    """All distinct prompts with one token less; none is empty.

    >>> shortened((5, 5, 7))
    [(5, 7), (5, 5)]
    >>> shortened((5,))
    []
    """
    if len(state) < 2:
        return []
    return [*dict.fromkeys((*state[:n], *state[n + 1 :]) for n in range(len(state)))]


def top_cells(scores: Tensor, count: int) -> Tensor:
    """Cells of a table with the highest scores, best first, counted row by row.

    >>> top_cells(torch.tensor([[0.1, 0.4], [0.3, -torch.inf]]), 4)
    tensor([ 1,  2,  0, -1])

    Args:
        scores: Score of each token at each of P positions, higher is better, shape (P, V).
        count: How many, at most.

    Returns:
        ``position * V + token`` of each, on the scores' device; -1 in place of a cell with minus
        infinity or no number.
    """
    flat = scores.flatten()
    best, cells = flat.masked_fill(flat.isnan(), -torch.inf).topk(min(count, len(flat)))
    return cells.masked_fill(best == -torch.inf, -1)
