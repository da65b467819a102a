"""Between the CPU, where what is known of a batch is made, and where a model computes."""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; on a CUDA device without waiting for what that still computes."""
    return tensor.to(device, non_blocking=device.type == "cuda")


def indices(places: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows and columns where a mask (N, T) is true, on a device.

    The mask lies on the CPU; one on the device would be waited for.
    """
    row, column = places.nonzero(as_tuple=True)
    return to_device(row, device), to_device(column, device)


def gather_at(values: Tensor, places: Tensor) -> Tensor:
    """What stands at the M places where a mask on the CPU is true: from (N, T, ...) to (M, ...)."""
    return values[indices(places, values.device)]
