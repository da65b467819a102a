"""Tensor copies to a device without waiting for it.

What is known of a batch (lengths, places, masks) is made on the CPU; the model computes elsewhere.
"""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy of a tensor on a device; on CUDA the copy does not wait."""
    return tensor.to(device, non_blocking=device.type == "cuda")


def indices(places: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Row and column indices of the true places of a mask (N, T), on a device.

    The mask lies on the CPU; one on the device would be waited for.

    >>> indices(torch.tensor([[False, True], [True, False]]), torch.device("cpu"))
    (tensor([0, 1]), tensor([1, 0]))
    """
    row, column = places.nonzero(as_tuple=True)
    return to_device(row, device), to_device(column, device)


def gather_at(values: Tensor, places: Tensor) -> Tensor:
    """Entries at the M true places of a CPU mask: from (N, T, ...) to (M, ...).

    >>> gather_at(torch.tensor([[1, 2], [3, 4]]), torch.tensor([[False, True], [True, False]]))
    tensor([2, 3])
    """
    return values[indices(places, values.device)]
