"""Gradients at source positions, each in a space in which source tokens have vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fuse_lightning.adapters.alignment import AlignedWord
from fuse_lightning.engine.devices import to_device


@dataclass
class HeadGradient:
    """Gradients at source positions in one space, with a vector of each token in that space.

    The predicted change of the loss when position p comes to hold token v is
    ``grad[p] @ table[v]`` up to a constant of the position.

    Attributes:
        table: A vector for each source token, zero where this head says nothing, shape (V, d).
        grad: Gradients, shape (N, L, d).
        valid: Positions whose gradient this head knows, shape (N, L).
        known: Tokens that this head speaks for, shape (V,); ``None`` for all of them.
    """

    table: Tensor
    grad: Tensor
    valid: Tensor
    known: Tensor | None = None


def sum_words(
    alignments: Sequence[Sequence[AlignedWord]], length: int, grad: Tensor
) -> tuple[Tensor, Tensor]:
    """Sums of the gradients at a word's target tokens, for words of one source token.

    Args:
        alignments: For each of N texts, its words with source and target positions.
        length: Number L of source positions.
        grad: Gradient at the target embeddings, shape (N, T, d).

    Returns:
        The sums, shape (N, L, d), and at which positions there is one, shape (N, L).

    Example:
        >>> from fuse_lightning.adapters import AlignedWord
        >>> words = [AlignedWord((0, 5), source=(0,), target=(1, 2))]
        >>> grad = torch.tensor([[[1.0], [2.0], [4.0]]])
        >>> sums, valid = sum_words([words], 2, grad)
        >>> sums.flatten().tolist(), valid.tolist()
        ([6.0, 0.0], [[True, False]])
    """
    whole = [
        (row, word.source[0], word.target)
        for row, words in enumerate(alignments)
        for word in words
        if len(word.source) == 1 and word.target
    ]
    out = grad.new_zeros(len(alignments), length, grad.shape[2])
    valid = torch.zeros(len(alignments), length, dtype=torch.bool, device=grad.device)
    if not whole:
        return out, valid
    there = partial(to_device, device=grad.device)
    rows, places, targets = zip(*whole, strict=True)
    counts = torch.tensor([len(target) for target in targets])
    index = there(torch.arange(len(whole)).repeat_interleave(counts))
    flat = torch.tensor([position for target in targets for position in target])
    row, place = there(torch.tensor(rows)), there(torch.tensor(places))
    summed = grad.new_zeros(len(whole), grad.shape[2])
    summed.index_add_(0, index, grad[row[index], there(flat)])
    out[row, place] = summed
    valid[row, place] = True
    return out, valid
