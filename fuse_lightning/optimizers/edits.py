"""Edits of prompts: a token replaced, inserted or removed."""

from collections.abc import Callable, Iterator

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


def ranked(
    state: State, scores: Tensor, edit: Callable[[State, int, int], State], count: int
) -> Iterator[State]:
    """The ``count`` best edits of a prompt, best first.

    >>> scores = torch.tensor([[0.1, 0.4], [0.3, -torch.inf]])
    >>> [*ranked((0, 1), scores, replaced, 3)]
    [(1, 1), (0, 0), (0, 1)]

    Args:
        state: The prompt.
        scores: Score of each token at each of P positions, higher is better; minus infinity, or
            no number, where there is no such edit; shape (P, V).
        edit: Makes a prompt of a prompt, a position and a token.
        count: How many, at most.
    """
    values = scores.flatten().masked_fill(scores.flatten().isnan(), -torch.inf)
    best, indices = values.topk(min(count, len(values)))
    indices = indices.masked_fill(best == -torch.inf, -1)
    width = scores.shape[1]
    for index in indices.tolist():
        if index >= 0:
            yield edit(state, index // width, index % width)
