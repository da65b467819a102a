"""Pairs of models that part in a known way."""

import torch

from fuse_lightning.decoding import Contrast, ContrastiveDecoder, Stream, StreamOptions
from fuse_lightning.models import CausalLM

FAR = 12
"""Position from which on the two models of :func:`parted` differ."""


def parted(network):
    """A decoder of a model, and of one that reads positions from ``FAR`` on in another way."""
    models, source = [], torch.Generator().manual_seed(0)
    for part in (False, True):
        each = network("gpt2", auto_class()).eval()
        if part:
            with torch.no_grad():
                table = each.transformer.wpe.weight
                # A constant would go away in the first norm.
                table[FAR:] = 3 * torch.randn(table[FAR:].shape, generator=source)
        models.append(CausalLM(each))
        models[-1].load()
    return ContrastiveDecoder([Stream(model) for model in models], Contrast((1, 0)), top=0)


def auto_class():
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM


def options(folder, **second):
    """Options of two streams of one model; ``second`` are those of B alone."""
    return StreamOptions(str(folder)), StreamOptions(str(folder), **second)
