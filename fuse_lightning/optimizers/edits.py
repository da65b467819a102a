"""Edits of prompts: a token replaced, inserted, removed or moved."""

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


def removed(state: State, place: int) -> State:
    """A prompt without the token at a position.

    >>> removed((5, 6, 7), 1)
    (5, 7)
    """
    return (*state[:place], *state[place + 1 :])


def moved(state: State, reach: int) -> list[State]:
    """All distinct other prompts with one token at another place, at most ``reach`` away.

    >>> moved((5, 6, 7), 1)
    [(6, 5, 7), (5, 7, 6)]
    >>> moved((5, 5), 1)
    []
    """
    found: dict[State, None] = {}
    for place, token in enumerate(state):
        rest = removed(state, place)
        for other in range(max(0, place - reach), min(len(state), place + reach + 1)):
            found[inserted(rest, other, token)] = None
    return [each for each in found if each != state]


def shortened(state: State) -> list[State]:
    """All distinct prompts with one token less; none is empty.

    >>> shortened((5, 5, 7))
    [(5, 7), (5, 5)]
    >>> shortened((5,))
    []
    """
    if len(state) < 2:
        return []
    return [*dict.fromkeys(removed(state, place) for place in range(len(state)))]


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
