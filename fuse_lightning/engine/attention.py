"""Attention over keys and values that were computed before, by several rows at once.

A function registered with transformers' attention interface serves every architecture that uses
the interface, text towers without a cache too: positions are given explicitly, and each layer's
attention adds what the trunk of a row left behind.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.utils import logging

from fuse_lightning.engine.devices import to_device

NAME = "fuse_shared_prefix"
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


class _Places(NamedTuple):
    """Where rows lie in groups.

    Attributes:
        trunk: Each group's trunk, shape (G,).
        place: Each row's place among the G x M, shape (N,).
        rows: Which row lies at each place, shape (G M,); the first at empty ones.
        shared: How many of its trunk's tokens each row sees, shape (N,).
    """

    trunk: Tensor
    place: Tensor
    rows: Tensor
    shared: Tensor


class _Branches:
    """N rows that go on from trunks, in G groups of up to M rows of one trunk.

    Rows of a group read the trunk's keys and values together, where they lie: copies for each row
    would be most of what attention moves. What is known of rows lies on the CPU, where it is made
    without waiting for a device, and goes to the device of a layer once.
    """

    def __init__(self, store: Store, trunk: Tensor, shared: Tensor, new: Store | None) -> None:
        self.store = store
        self.new = new
        self.length = int(shared.max())
        counts = trunk.bincount()
        # As many as a trunk has on average: a large family is several groups, and little is empty.
        self.most = -(-len(trunk) // int((counts > 0).sum()))
        order = trunk.argsort(stable=True)
        firsts = counts.cumsum(0) - counts
        number = torch.empty_like(trunk)
        number[order] = torch.arange(len(trunk)) - firsts[trunk[order]]
        groups = -(-counts // self.most)
        starts = groups.cumsum(0) - groups
        place = (starts[trunk] + number // self.most) * self.most + number % self.most
        rows = torch.zeros(int(groups.sum()) * self.most, dtype=torch.long)
        rows[place] = torch.arange(len(trunk))
        group_trunk = torch.arange(len(counts)).repeat_interleave(groups)
        self._places = {shared.device: _Places(group_trunk, place, rows, shared)}
        self._masks: dict[tuple[int, int | None, torch.device], Tensor] = {}

    def _at(self, device: torch.device) -> _Places:
        if device not in self._places:
            known = next(iter(self._places.values()))
            self._places[device] = _Places(*(to_device(part, device) for part in known))
        return self._places[device]

    def trunks(self, trunks: Tensor) -> Tensor:
        """What the rows see of keys or values of all trunks, (G, heads, L, width)."""
        return trunks[self._at(trunks.device).trunk, :, : self.length]

    def gather(self, rows: Tensor) -> Tensor:
        """From rows, (N, heads, T, width), to groups, (G, heads, M T, width)."""
        _, heads, tokens, width = rows.shape
        found = rows[self._at(rows.device).rows].view(-1, self.most, heads, tokens, width)
        return found.transpose(1, 2).reshape(-1, heads, self.most * tokens, width)

    def scatter(self, groups: Tensor) -> Tensor:
        """Back from groups to rows."""
        _, heads, places, width = groups.shape
        found = groups.view(-1, heads, self.most, places // self.most, width).transpose(1, 2)
        return found.flatten(0, 1)[self._at(groups.device).place]

    def mask(self, tokens: int, window: int | None, device: torch.device) -> Tensor:
        """Which of the L + T keys each of a row's T tokens sees, (N, 1, T, L + T)."""
        if (tokens, window, device) not in self._masks:
            shared = self._at(device).shared[:, None, None]
            before = torch.arange(self.length, device=device).expand(len(shared), 1, -1)
            own = shared + torch.arange(tokens, device=device)
            queries, keys = own.mT, torch.cat([before, own], dim=-1)
            there = torch.cat([before < shared, torch.ones_like(own, dtype=torch.bool)], dim=-1)
            mask = there & (keys <= queries)
            if window is not None:
                mask &= queries - keys < window
            self._masks[tokens, window, device] = mask[:, None]
        return self._masks[tokens, window, device]


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
def branching(
    store: Store, trunk: Tensor, shared: Tensor, new: Store | None = None
) -> Iterator[None]:
    """While active, each row also attends to the first tokens of a trunk.

    Args:
        store: Of the trunks.
        trunk: Number of each row's trunk, shape (N,), on the CPU.
        shared: How many of its tokens each row sees, shape (N,), on the CPU.
        new: Takes keys and values of the rows' own tokens.
    """
    token = _active.set(_Branches(store, trunk, shared, new))
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
            if branches.new is not None:
                branches.new.layers[module] = (key, value)
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
    keys, values = map(branches.trunks, branches.store.layers[module])
    if times := query.shape[1] // key.shape[1] - 1:
        keys, values, key, value = (
            part.repeat_interleave(times + 1, dim=1) for part in (keys, values, key, value)
        )
    mask = branches.mask(query.shape[2], sliding_window, query.device)
    query = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    theirs = branches.scatter(branches.gather(query) @ keys.mT)
    scores = torch.cat([theirs, query @ key.mT], dim=-1)
    scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
    weights = scores.masked_fill(~mask, -torch.inf).softmax(-1).to(value.dtype)
    theirs, mine = weights[..., : branches.length], weights[..., branches.length :]
    output = branches.scatter(branches.gather(theirs) @ values) + mine @ value
    return output.transpose(1, 2).contiguous()


def use(network: PreTrainedModel, name: str) -> None:
    """Sets the attention function of a network's text part."""
    part = "text_config" if "text_config" in network.config.sub_configs else ""
    level = logging.get_verbosity()
    # It warns of architectures that have their own attention, which is no fault here.
    logging.set_verbosity_error()
    network.set_attn_implementation({part: name})
    logging.set_verbosity(level)


def causal_mask(*args: Any, attention_mask: Tensor | None = None, **kwargs: Any) -> Tensor | None:
    """The mask of a causal network whose rows are padded on the right, where none sees the padding.

    Rows that branch off have a mask of their own. Of others transformers would read the padding,
    and wait for the device, to find out whether it matters.
    """
    if isinstance(_active.get(), _Branches):
        return None
    found: Tensor | None = sdpa_mask(*args, attention_mask=None, **kwargs)
    return found


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, causal_mask)
