"""Memory of gradients: a running mean over a target's steps, in place of more samples."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fuse_lightning.adapters import HeadGradient
from fuse_lightning.engine.devices import to_device

KEY = "gradients"
"""What a search's own data holds the memory under."""


def mixed(
    heads: Sequence[HeadGradient],
    owners: Sequence[int],
    places: Sequence[int],
    memories: Mapping[int, dict[str, Tensor]],
    share: float,
) -> list[HeadGradient]:
    """Gradients mixed with those that were remembered, which are then replaced by their mean.

    The gradient at the next token of a prompt is much like that one step before: most of it says
    where the target lies. So a running mean over steps, as momentum is one (arXiv 2405.01229),
    needs fewer samples a step.

    Args:
        heads: Gradients of G prompts.
        owners: Target of each prompt.
        places: The one position of each prompt whose gradient counts.
        memories: For each target, the remembered vectors by space, shape (d + 1,): a mean, and
            behind it 1, or 0 if nothing was seen. They are changed.
        share: Weight of what is remembered, in [0, 1).

    Raises:
        ValueError: If two heads have the same space.
    """
    spaces = [head.space for head in heads]
    if len({*spaces}) < len(spaces):
        raise ValueError(f"two heads have one space: {sorted(spaces)}")
    result = []
    for head in heads:
        grad, device = head.grad.clone(), head.grad.device
        for owner in sorted({*owners}):
            rows = [row for row, each in enumerate(owners) if each == owner]
            number = to_device(torch.tensor(rows), device)
            place = to_device(torch.tensor([places[row] for row in rows]), device)
            there = head.valid[number, place].to(grad.dtype).unsqueeze(1)
            found = grad[number, place]
            nothing = grad.new_zeros(grad.shape[2] + 1)
            known = to_device(memories[owner].get(head.space, nothing), device)
            mean, seen = known[:-1], known[-1]
            found = torch.where(there > 0, found + share * seen * (mean - found), found)
            grad[number, place] = found
            count = there.sum()
            new = torch.cat([(found * there).sum(0) / count.clamp(min=1), seen.new_ones(1)])
            memories[owner][head.space] = torch.where(count > 0, new, known)
        result.append(HeadGradient(head.table, grad, head.valid, head.known, head.space))
    return result


def check_memory(own: Mapping[str, Any]) -> None:
    """Checks the memory in a search's own data from a checkpoint.

    Raises:
        TypeError, ValueError: If it is none.
    """
    memory = own.get(KEY, {})
    if not isinstance(memory, dict):
        raise TypeError(f"{memory!r} is no memory of gradients")
    for space, vector in memory.items():
        if not (isinstance(space, str) and isinstance(vector, Tensor) and vector.dim() == 1):
            raise TypeError(f"{space!r} holds no vector")
        if not (vector.is_floating_point() and vector.isfinite().all()):
            raise ValueError(f"the vector of {space!r} holds what is no number")
