"""Numbers that two ways of computing agree on, whatever the processor.

A processor's kernels choose the order of a sum, and so its rounding. Float32 rounds by up to 2**-24
(6e-8) of what is added up, and some hundred roundings follow each other in a forward. What is left
of two large parts that cancel, such as 1 - cosine, is known to a share of these parts, not of
itself. Tolerances are therefore shares of a size, never bare numbers.
"""

import pytest
import torch

SINGLE = 1e-4
"""Of float32: a thousand roundings. A wrong token, mask or position changes more than that."""
DOUBLE = 1e-9
"""Of float64, likewise."""


def assert_near(found, expected, size=None, share=None):
    """Two tensors agree up to a share of a size.

    Args:
        found: Any shape.
        expected: The same shape; infinite where ``found`` is.
        size: Of what was added up; by default of the largest finite number expected.
        share: Of this size, what may differ; by default ``DOUBLE`` if both are float64.
    """
    if share is None:
        share = DOUBLE if found.dtype == expected.dtype == torch.float64 else SINGLE
    if size is None:
        finite = expected[torch.isfinite(expected)]
        size = float(finite.abs().max()) if len(finite) else 0.0
    found, expected = found.detach().double(), expected.detach().double()
    torch.testing.assert_close(found, expected, rtol=0, atol=share * size)


def near(expected, size=0.0, share=SINGLE):
    """What a number, or each of several, equals up to a share of itself or of a size."""
    return pytest.approx(expected, rel=share, abs=share * size)
