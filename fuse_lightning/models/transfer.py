"""From the CPU, where what is known of a batch is made, to where a model computes."""

import torch
from torch import Tensor


def send(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on a device; on a CUDA device without waiting for what that still computes."""
    return tensor.to(device, non_blocking=device.type == "cuda")
