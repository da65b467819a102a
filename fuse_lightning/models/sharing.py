"""Attention over keys and values that were computed before, by several rows at once.

A function registered with transformers' attention interface serves every architecture that uses
the interface, text towers without a cache too: positions are given explicitly, and each layer's
attention adds what the trunk of a row left behind.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.utils import logging

NAME = "fuse_shared_prefix"
FEW = 3
"""Tokens of a row up to which sums of products are faster than as many small matrix products."""
HARMLESS = {
    "scaling",
    "dropout",
    "is_causal",
    "sliding_window",
    "position_ids",
    "position_embeddings",
    "use_cache",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "cache_position",
    "logits_to_keep",
}
"""Arguments of attention that need nothing of us, or that are handled here."""


class UnshareableError(Exception):
    """Attention of a kind that this module does not compute."""


@dataclass
class Store:
    """Keys and values of R trunks, (R, heads, L, width) for each attention layer."""

    layers: dict[nn.Module, tuple[Tensor, Tensor]] = field(default_factory=dict)


class _Branches:
    """N rows that go on from trunks, in G groups of up to M rows of one trunk.

    Rows of a group read the trunk's keys and values together, where they lie: copies for each row
    would be most of what attention moves.
    """

    def __init__(self, store: Store, trunk: Tensor, shared: Tensor) -> None:
        self.store = store
        self.shared = shared
        self.length = int(shared.max())
        counts = trunk.bincount()
        # As many as a trunk has on average: a large family is several groups, and little is empty.
        self.most = -(-len(trunk) // int((counts > 0).sum()))
        order = trunk.argsort(stable=True)
        firsts = counts.cumsum(0) - counts
        number = torch.empty_like(trunk)
        number[order] = torch.arange(len(trunk), device=trunk.device) - firsts[trunk[order]]
        groups = -(-counts // self.most)
        starts = groups.cumsum(0) - groups
        self.trunk = torch.arange(len(counts), device=trunk.device).repeat_interleave(groups)
        """Each group's trunk, shape (G,)."""
        self.place = (starts[trunk] + number // self.most) * self.most + number % self.most
        """Each row's place among the G x M, shape (N,)."""
        self.rows = torch.zeros(len(self.trunk) * self.most, dtype=torch.long, device=trunk.device)
        """Which row lies at each place; the first at empty ones."""
        self.rows[self.place] = torch.arange(len(trunk), device=trunk.device)

    def gather(self, rows: Tensor) -> Tensor:
        """From rows, (N, heads, T, width), to groups, (G, heads, M T, width)."""
        _, heads, tokens, width = rows.shape
        found = rows[self.rows.to(rows.device)].view(-1, self.most, heads, tokens, width)
        return found.transpose(1, 2).reshape(-1, heads, self.most * tokens, width)

    def scatter(self, groups: Tensor) -> Tensor:
        """Back from groups to rows."""
        _, heads, places, width = groups.shape
        found = groups.view(-1, heads, self.most, places // self.most, width).transpose(1, 2)
        return found.flatten(0, 1)[self.place.to(groups.device)]


_active: ContextVar[Store | _Branches | None] = ContextVar("active", default=None)


@contextmanager
def recording() -> Iterator[Store]:
    """While active, attention layers leave their keys and values in the store."""
    store = Store()
    token = _active.set(store)
    try:
        yield store
    finally:
        _active.reset(token)


@contextmanager
def branching(store: Store, trunk: Tensor, shared: Tensor) -> Iterator[None]:
    """While active, each row also attends to the first tokens of a trunk.

    Args:
        store: Of the trunks.
        trunk: Number of each row's trunk, shape (N,).
        shared: How many of its tokens each row sees, shape (N,).
    """
    token = _active.set(_Branches(store, trunk, shared))
    try:
        yield
    finally:
        _active.reset(token)


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention as torch computes it, with the trunk's keys and values where one is active."""
    match _active.get():
        case Store() as store:
            unknown = {name for name, given in kwargs.items() if given is not None} - HARMLESS
            if unknown:
                raise UnshareableError(f"{type(module).__name__} has {', '.join(sorted(unknown))}")
            store.layers[module] = (key, value)
        case _Branches() as branches:
            return _branched(module, query, key, value, branches, **kwargs), None
    output: tuple[Tensor, None] = sdpa_attention_forward(
        module, query, key, value, attention_mask, **kwargs
    )
    return output


def _branched(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    branches: _Branches,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> Tensor:
    keys, values = (
        trunks[branches.trunk.to(query.device), :, : branches.length]
        for trunks in branches.store.layers[module]
    )
    if times := query.shape[1] // key.shape[1] - 1:
        keys, values, key, value = (
            part.repeat_interleave(times + 1, dim=1) for part in (keys, values, key, value)
        )
    # The layers of one model may lie on several devices.
    shared = branches.shared.to(query.device)[:, None]
    own = torch.arange(query.shape[2], device=query.device)
    before = torch.arange(branches.length, device=query.device)
    # Positions of queries and keys in the whole row, and which keys a query may see.
    queries = (shared + own)[:, :, None]
    positions = torch.cat([before.expand(len(shared), -1), shared + own], dim=1)[:, None]
    there = torch.cat([before < shared, torch.ones_like(shared + own, dtype=torch.bool)], dim=1)
    mask = there[:, None] & (positions <= queries)
    if sliding_window is not None:
        mask &= queries - positions < sliding_window
    query = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    theirs = branches.scatter(branches.gather(query) @ keys.mT)
    scores = torch.cat([theirs, _small_product(query, key.mT)], dim=-1)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    weights = scores.masked_fill(~mask[:, None], -torch.inf).softmax(-1).to(value.dtype)
    theirs, mine = weights[..., : branches.length], weights[..., branches.length :]
    output = branches.scatter(branches.gather(theirs) @ values) + _small_product(mine, value)
    return output.transpose(1, 2).contiguous()


def _small_product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b`` of very many small matrices."""
    if a.shape[-2] > FEW:
        return a @ b
    if a.shape[-1] > b.shape[-1]:
        return (a.unsqueeze(-2) * b.mT.unsqueeze(-3)).sum(-1)
    return (a.unsqueeze(-1) * b.unsqueeze(-3)).sum(-2)


def use(network: PreTrainedModel, name: str) -> None:
    """Sets the attention function of a network's text part."""
    part = "text_config" if "text_config" in network.config.sub_configs else ""
    level = logging.get_verbosity()
    # It warns of architectures that have their own attention, which is no fault here.
    logging.set_verbosity_error()
    network.set_attn_implementation({part: name})
    logging.set_verbosity(level)


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)
