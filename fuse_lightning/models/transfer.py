"""From the CPU, where what is known of a batch is made, to where a model computes."""

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; on a CUDA device without waiting for what that still computes."""
    return tensor.to(device, non_blocking=device.type == "cuda")


def pick(values: Tensor, places: Tensor) -> Tensor:
    """What stands at the M places where a mask is true: from (N, T, ...) to (M, ...).

    The mask lies on the CPU; one on the device would be waited for.
    """
    row, column = (send(index, values.device) for index in places.nonzero(as_tuple=True))
    return values[row, column]
