"""Compilation of a network's layers with ``torch.compile``."""

import torch
from torch import nn
from transformers import AttentionInterface

from fuse_lightning.engine.attention import NAME, attention

MOST_VARIANTS = 64
"""Compilations of one function: transformers has one that calls the layers of every architecture,
and each comes with and without gradients, and for one row or many."""


def compile_layers(network: nn.Module, backend: str = "inductor") -> None:
    """Compiles every repeated layer separately.

    One compilation serves all layers of a kind, for lengths and batches of any size: they change
    in every step of a search. What stands around the layers (the embeddings, which are replaced
    to get their gradient, and the head, which reads few tokens) and attention over what rows
    share stay as they are.

    Args:
        network: The network.
        backend: Backend of ``torch.compile``.
    """
    # Only here: it takes long to import.
    from torch._dynamo import config

    config.recompile_limit = max(config.recompile_limit, MOST_VARIANTS)
    plain = torch.compiler.disable(attention)  # type: ignore[no-untyped-call]
    AttentionInterface.register(NAME, plain)
    _compile(network, backend)


def _compile(network: nn.Module, backend: str) -> None:
    for part in network.children():
        if isinstance(part, nn.ModuleList):
            for layer in part:
                layer.compile(dynamic=True, backend=backend)
        else:
            _compile(part, backend)
