"""Damped residual gradients: less of a gradient flows through the branches of a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor
from torch.autograd.graph import Node, get_gradient_edge
from torch.overrides import TorchFunctionMode

from fuse_lightning.errors import FuseError

SUMS = frozenset({"add", "add_", "__add__", "__radd__", "__iadd__"})
"""Names of the functions that add two tensors."""
DAMPED = "_fuse_damped"
"""Name of the mark of a branch that is damped already."""
PRODUCT = re.compile(r"mm|matmul|linear|convolution", re.IGNORECASE)
"""Pattern of the names of functions that multiply matrices, and of their nodes in autograd."""


@contextmanager
def damped(share: float) -> Iterator[None]:
    """Context in which gradients through residual branches are multiplied by a share.

    The forward is unchanged, and so is the gradient along the skip path. The language skip
    gradient does so (LSGM, arXiv 2405.20778). Of a context within another the inner one counts.

    Branches are found by what they do, not by the name of a class: where a network adds two
    tensors, and one of them is computed from the other with a matrix product, it is the branch and
    the other one the skip path. So networks that normalise before a branch, behind it, or behind
    the sum are all alike.

    Args:
        share: Share of the gradient of each branch that stays; 1 changes nothing.

    Raises:
        FuseError: At the end of the context, if networks have read something that needs a
            gradient, and none of them has residual branches.
    """
    if share == 1:
        yield
        return
    sums = _DampedSums(share)
    with sums:
        yield
    if sums.products and not sums.count:
        raise FuseError(
            "there are no residual branches whose gradients could be damped; set "
            "residual_damping to 1"
        )


class _DampedSums(TorchFunctionMode):
    """Mode in which the branch of each residual sum has a smaller gradient.

    Args:
        share: Share of the gradient that stays.

    Attributes:
        count: How many residual sums there were.
        products: How many matrix products needed a gradient.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share
        self.count = 0
        self.products = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Calls a function of torch."""
        name = getattr(func, "__name__", "")
        if PRODUCT.search(name):
            self.products += any(isinstance(arg, Tensor) and arg.requires_grad for arg in args)
        if name in SUMS and len(args) == 2:
            place = _branch(*args)
            if place is not None:
                self.count += 1
                # Another view of the branch: what else reads it keeps its whole gradient.
                if not hasattr(args[place], DAMPED):
                    view = args[place].view_as(args[place])
                    view.register_hook(lambda grad: self.share * grad)
                    # Of a context within another the outer one comes second.
                    setattr(view, DAMPED, True)
                    args = (view, args[1]) if place == 0 else (args[0], view)
        return func(*args, **(kwargs or {}))


def _branch(first: Any, second: Any) -> int | None:
    """Which of two terms of a sum is a branch of the other, 0 or 1; ``None`` if neither is."""
    terms = first, second
    if not all(isinstance(term, Tensor) and term.requires_grad for term in terms):
        return None
    if first.shape != second.shape:
        return None
    nodes = [get_gradient_edge(term).node for term in terms]
    for place, skip in ((1, 0), (0, 1)):
        if _computed_from(nodes[place], nodes[skip]):
            return place
    return None


def _computed_from(node: Node, origin: Node) -> bool:
    """Whether a value is computed from another one with a matrix product on the way."""
    # Nodes are numbered as they are made: those older than the origin cannot come from it.
    oldest = 0 if origin.name().endswith("AccumulateGrad") else origin._sequence_nr()
    waiting, seen = [(node, False)], set()
    while waiting:
        here, product = waiting.pop()
        if here is origin:
            if product:
                return True
            continue
        if (here, product) in seen or here._sequence_nr() < oldest:
            continue
        seen.add((here, product))
        product = product or PRODUCT.search(here.name()) is not None
        waiting += [(before, product) for before, _ in here.next_functions if before is not None]
    return False
