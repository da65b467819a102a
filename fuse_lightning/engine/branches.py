"""Attention of rows that continue trunks: all rows of a trunk read its keys and values."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from fuse_lightning.engine.devices import to_device


@dataclass
class Store:
    """Keys and values of R rows, (R, heads, L, width), for each attention layer."""

    layers: dict[nn.Module, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def select(self, rows: Tensor) -> "Store":
        """Keys and values of some rows, whose numbers have shape (n,), on the CPU."""
        found = Store()
        for layer, (keys, values) in self.layers.items():
            there = to_device(rows, keys.device)
            found.layers[layer] = keys[there], values[there]
        return found


def side_by_side(stores: Sequence[Store]) -> Store:
    """Joins the rows of several stores into one; short rows are padded with zeros."""
    if len(stores) == 1:
        return stores[0]
    found = Store()
    for layer in stores[0].layers:
        keys, values = (_stack([store.layers[layer][kind] for store in stores]) for kind in (0, 1))
        found.layers[layer] = keys, values
    return found


def _stack(parts: Sequence[Tensor]) -> Tensor:
    most = max(part.shape[2] for part in parts)
    return torch.cat([F.pad(part, (0, 0, 0, most - part.shape[2])) for part in parts])


class _Places(NamedTuple):
    """Positions of N rows in G groups of M.

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


class Groups:
    """Assignment of N rows to G groups of up to M rows with the same trunk.

    Rows of a group read the trunk's keys and values together, where they lie: copies for each row
    would be most of what attention moves. What is known of rows lies on the CPU, where it is made
    without waiting for a device, and goes to the device of a layer once.

    Args:
        trunk: Number of each row's trunk, shape (N,), on the CPU.
        shared: How many of its tokens each row sees, shape (N,), on the CPU.
    """

    def __init__(self, trunk: Tensor, shared: Tensor) -> None:
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

    @property
    def keys(self) -> float:
        """Keys of trunks that a row's tokens are multiplied with, those of empty places too."""
        known = next(iter(self._places.values()))
        return self.length * len(known.rows) / len(known.place)

    def at(self, device: torch.device) -> _Places:
        """The positions on a device."""
        if device not in self._places:
            known = next(iter(self._places.values()))
            self._places[device] = _Places(*(to_device(part, device) for part in known))
        return self._places[device]

    def trunks(self, trunks: Tensor) -> Tensor:
        """Keys or values of each group's trunk, (G, heads, L, width)."""
        return trunks[self.at(trunks.device).trunk, :, : self.length]

    def gather(self, rows: Tensor) -> Tensor:
        """Regroups rows, from (N, heads, T, width) to (G, heads, M T, width)."""
        _, heads, tokens, width = rows.shape
        found = rows[self.at(rows.device).rows].view(-1, self.most, heads, tokens, width)
        return found.transpose(1, 2).reshape(-1, heads, self.most * tokens, width)

    def scatter(self, groups: Tensor) -> Tensor:
        """Ungroups rows, from (G, heads, M T, width) to (N, heads, T, width)."""
        _, heads, places, width = groups.shape
        found = groups.view(-1, heads, self.most, places // self.most, width).transpose(1, 2)
        return found.flatten(0, 1)[self.at(groups.device).place]


class Branches:
    """Attention of N rows over the first tokens of their trunks and over their own tokens.

    Args:
        store: Keys and values of the trunks.
        trunk: Number of each row's trunk, shape (N,), on the CPU.
        shared: How many of its tokens each row sees, shape (N,), on the CPU.
        new: Takes keys and values of the rows' own tokens.
    """

    def __init__(self, store: Store, trunk: Tensor, shared: Tensor, new: Store | None) -> None:
        self.store = store
        self.new = new
        self.groups = Groups(trunk, shared)
        self._masks: dict[tuple[int, int | None, torch.device], Tensor] = {}

    @property
    def keys(self) -> float:
        """Keys of trunks that each of a row's tokens is multiplied with."""
        return self.groups.keys

    def attend(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scaling: float | None = None,
        sliding_window: int | None = None,
    ) -> Tensor:
        """Attention output of the rows' own T tokens, (N, T, heads, width)."""
        if self.new is not None:
            self.new.layers[module] = (key, value)
        groups = self.groups
        keys, values = map(groups.trunks, self.store.layers[module])
        keys, values, key, value = same_heads(query, keys, values, key, value)
        mask = self._mask(query.shape[2], sliding_window, query.device)
        query = query * (query.shape[-1] ** -0.5 if scaling is None else scaling)
        theirs = groups.scatter(groups.gather(query) @ keys.mT)
        scores = torch.cat([theirs, query @ key.mT], dim=-1)
        scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
        weights = scores.masked_fill(~mask, -torch.inf).softmax(-1).to(value.dtype)
        theirs, mine = weights[..., : groups.length], weights[..., groups.length :]
        output = groups.scatter(groups.gather(theirs) @ values) + mine @ value
        return output.transpose(1, 2).contiguous()

    def _mask(self, tokens: int, window: int | None, device: torch.device) -> Tensor:
        """Mask of the L + T keys that each of a row's T tokens sees, (N, 1, T, L + T)."""
        if (tokens, window, device) not in self._masks:
            shared = self.groups.at(device).shared[:, None, None]
            before = torch.arange(self.groups.length, device=device).expand(len(shared), 1, -1)
            own = shared + torch.arange(tokens, device=device)
            queries, keys = own.mT, torch.cat([before, own], dim=-1)
            there = torch.cat([before < shared, torch.ones_like(own, dtype=torch.bool)], dim=-1)
            mask = there & (keys <= queries)
            if window is not None:
                mask &= queries - keys < window
            self._masks[tokens, window, device] = mask[:, None]
        return self._masks[tokens, window, device]


def same_heads(query: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
    """Keys and values repeated for queries with more heads (grouped-query attention)."""
    times = query.shape[1] // parts[-1].shape[1]
    if times == 1:
        return parts
    return tuple(part.repeat_interleave(times, dim=1) for part in parts)
