"""Damped residual gradients: less of a gradient flows through the branches of a network."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from fuse_lightning.errors import FuseError

KINDS = re.compile(r"attention|mlp|feedforward|mixer|sparsemoe|ffn$|moe$")
"""Pattern of the class names of residual branches, in small letters."""
LAST = "fc2"
"""Name of the last part of a branch whose parts stand in the layer itself."""


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
    with ExitStack() as stack:
        for branch in branches:
            hook = partial(_damp_output, share, inspect.signature(branch.forward))
            stack.callback(branch.register_forward_hook(hook, with_kwargs=True).remove)
        yield


def _damp_output(
    share: float,
    signature: inspect.Signature,
    _: nn.Module,
    args: tuple[Any, ...],
    options: dict[str, Any],
    output: Any,
) -> Any:
    skip = None
    if "residual" in signature.parameters:
        # The branch itself adds what goes past it.
        skip = signature.bind(*args, **options).arguments["residual"]
    if isinstance(output, tuple):
        return (_damp(output[0], share, skip), *output[1:])
    return _damp(output, share, skip)


def _damp(value: Any, share: float, skip: Tensor | None) -> Any:
    if not isinstance(value, Tensor):
        return value
    counted = share * value if skip is None else share * value + (1 - share) * skip
    # The value is that of the branch, to the last digit.
    return value.detach() + (counted - counted.detach())


def residual_branches(module: nn.Module) -> Sequence[nn.Module]:
    """Attention and feed-forward parts of the layers of a transformer, each once.

    They are the direct parts of the members of its lists of layers. Where the feed-forward part is
    no module of its own, its last linear map stands for it.
    """
    layers = [
        layer for stack in module.modules() if isinstance(stack, nn.ModuleList) for layer in stack
    ]
    found: dict[int, nn.Module] = {}
    for layer in layers:
        parts = [part for part in layer.children() if _is_branch(part)]
        if parts and isinstance(last := getattr(layer, LAST, None), nn.Module):
            parts.append(last)
        found |= {id(part): part for part in parts}
    return [*found.values()]


def _is_branch(part: nn.Module) -> bool:
    """Whether a part of a layer is a branch, by the name of its class."""
    return bool(KINDS.search(type(part).__name__.lower().replace("_", "")))
