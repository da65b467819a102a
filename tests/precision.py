"""Float64 in place of float32, so that a search has one way to go."""

from unittest.mock import patch

import torch

from fuse_lightning.models import diffusion, sources

NORMAL = torch.float32
"""Usual type of numbers; ``torch.float32`` itself is another one while :func:`use_double` holds."""


def use_double(monkeypatch):
    """Makes models and losses float64 where they would be float32."""
    single, load_module = torch.float32, sources.load_module

    def load(*args, **options):
        # Transformers reads the types that files name.
        with patch.object(torch, "float32", single):
            return load_module(*args, **options)

    for module in (sources, diffusion):
        monkeypatch.setattr(module, "load_module", load)
    monkeypatch.setattr(torch, "float32", torch.float64)
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    torch.set_default_dtype(torch.float64)
