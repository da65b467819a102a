"""Damped residual gradients: less of a gradient flows through the branches of a network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from fuse_lightning.errors import FuseError

KINDS = ("attention", "mlp", "feedforward", "sparsemoe")
"""Words in the class names of residual branches."""


@contextmanager
def damped(module: nn.Module, share: float) -> Iterator[None]:
    """Context in which gradients through residual branches are multiplied by a share.

    The forward is unchanged, and so is the gradient along the skip path. The language skip
    gradient does so (LSGM, arXiv 2405.20778).

    Args:
        module: A transformer.
        share: Share of the gradient of each branch that stays; 1 changes nothing.

    Raises:
        FuseError: If the network has no branches that are known.
    """
    if share == 1:
        yield
        return
    branches = residual_branches(module)
    if not branches:
        raise FuseError(
            f"{type(module).__name__} has no residual branches that are known; set "
            "residual_damping to 1"
        )

    def damp(_: nn.Module, __: Any, output: Any) -> Any:
        if isinstance(output, tuple):
            return (_damp(output[0], share), *output[1:])
        return _damp(output, share)

    with ExitStack() as stack:
        for branch in branches:
            stack.callback(branch.register_forward_hook(damp).remove)
        yield


def _damp(value: Any, share: float) -> Any:
    if not isinstance(value, Tensor):
        return value
    return share * value + (1 - share) * value.detach()


def residual_branches(module: nn.Module) -> Sequence[nn.Module]:
    """Attention and feed-forward parts of the layers of a transformer, each once.

    They are the direct parts of the members of its lists of layers.
    """
    layers = [
        layer for stack in module.modules() if isinstance(stack, nn.ModuleList) for layer in stack
    ]
    found = {
        id(part): part
        for layer in layers
        for part in layer.children()
        if any(kind in type(part).__name__.lower().replace("_", "") for kind in KINDS)
    }
    return [*found.values()]
