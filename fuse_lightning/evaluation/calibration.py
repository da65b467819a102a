"""Calibration of label probabilities without training."""

import torch
from torch import Tensor

from fuse_lightning.errors import FuseError


def calibrated(probabilities: Tensor, reference: Tensor) -> Tensor:
    """Label probabilities without the model's general liking for some labels.

    Each class's mean log probability on the reference examples is taken away from its log
    probability; then the probabilities of an example are made to sum to 1 again. A relative of
    contextual calibration (Zhao et al., arXiv 2102.09690), with real inputs in place of an empty
    one.

    Args:
        probabilities: Label probabilities of the examples to answer, shape ``(..., E, C)``.
        reference: Label probabilities of the same prompt, or prompts, on the examples of the
            search, shape ``(..., R, C)``. Never those that report.

    Returns:
        Probabilities in float64, shape ``(..., E, C)``.

    Raises:
        FuseError: If there is no reference example, or it has other classes.

    >>> biased = torch.tensor([[0.9, 0.1], [0.6, 0.4]])
    >>> calibrated(biased, reference=biased)
    tensor([[0.7101, 0.2899],
            [0.2899, 0.7101]], dtype=torch.float64)
    """
    if not reference.shape[-2]:
        raise FuseError("calibration has no reference example; give at least 1 of the search's")
    if reference.shape[-1] != probabilities.shape[-1]:
        raise FuseError(
            f"calibration reads probabilities of {probabilities.shape[-1]} labels, its reference "
            f"has {reference.shape[-1]}; give those of the same labels"
        )
    return (_logs(probabilities) - _logs(reference).mean(-2, keepdim=True)).softmax(-1)


def _logs(probabilities: Tensor) -> Tensor:
    # A probability that is too small for float32 arrives as 0, whose logarithm would swallow all.
    return probabilities.double().clamp_min(torch.finfo(torch.float32).tiny).log()
