"""Key/value reuse for rows that extend rows of an earlier forward."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fuse_lightning.engine.attention import branching, recording
from fuse_lightning.engine.branches import Store
from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.network import Network
from fuse_lightning.engine.prefixes import Row, RowIndex
from fuse_lightning.engine.remembered import CachedRows
from fuse_lightning.engine.token_batch import pad

MOST_KEPT = 2048
"""Most positions, padding included, whose keys and values stay from one forward to the next."""


@dataclass
class Suffixes:
    """Input of a forward over R rows: whole rows, or only what extends kept rows.

    Attributes:
        ids: Tokens, shape (R, T).
        mask: True for tokens, shape (R, T).
        positions: Positions in the whole row, shape (R, T); ``None`` where all begin at 0.
        starts: How many tokens of each row come before them, shape (R,).
        of: The kept row that begins with those, shape (R,).
    """

    ids: Tensor
    mask: Tensor
    positions: Tensor | None
    starts: Tensor
    of: Tensor


def can_stay(model: Network, rows: Sequence[Row]) -> bool:
    """Whether keys and values of rows may be kept for the next forward.

    In reduced precision they may not: a resumed run computes them anew, among other rows, and
    coarse rounding would show it.
    """
    reduced = torch.is_autocast_enabled(model.device.type) or not model.exact
    longest = max(map(len, rows), default=0)
    # Longer rows are rotated otherwise than the shorter ones that they begin with.
    turned = model.turn is not None and longest > model.turn
    return not (reduced or turned) and len(rows) * longest <= MOST_KEPT


def read_on(
    model: Network,
    kept: CachedRows | None,
    rows: Sequence[Row],
    read: Callable[[Suffixes], None],
) -> CachedRows:
    """Keys and values of rows, where only what extends kept rows is read.

    Of each row one token is read at least. A row that parts from a kept one before its end reads
    the last token that they share again: what that tells of another next token is not kept.

    Args:
        model: A model that shares.
        kept: Rows of an earlier forward.
        rows: The rows, distinct.
        read: Runs the network.
    """
    inference = torch.is_inference_mode_enabled()
    if kept is not None and kept.inference == inference:
        index = RowIndex(kept.rows)
        found = [index.find(row) for row in rows]
        of = [number for number, _ in found]
        starts = [
            min(agreed, len(row) - 1) if agreed == len(kept.rows[number]) else max(0, agreed - 1)
            for row, (number, agreed) in zip(rows, found, strict=True)
        ]
        if any(starts) and sum(starts) >= model.worth:
            return read_ends(model, kept, rows, of, starts, read)
    with recording() as store:
        read(whole(rows, model.pad_id))
    return CachedRows(rows, store, inference)


def whole(rows: Sequence[Row], pad_id: int) -> Suffixes:
    """Input of a forward that reads rows from their first token on."""
    batch = pad(rows, None, pad_id)
    none = torch.zeros(len(rows), dtype=torch.long)
    return Suffixes(batch.ids, batch.mask, None, none, none)


def join(old: Tensor, new: Tensor, places: Tensor, dim: int) -> Tensor:
    """Joins the new entries of rows to their first old ones, along a dimension.

    Args:
        old: Shape (N, ..., M, ...), M at ``dim``.
        new: Shape (N, ..., T, ...).
        places: Indices from :func:`behind`, on the device of the others, shape (N, M + T).
        dim: The dimension.

    Returns:
        Shape (N, ..., M + T, ...).

    >>> old, new = torch.tensor([[1, 2, 3]]), torch.tensor([[8, 9]])
    >>> join(old, new, behind(torch.tensor([2]), 3, 2), 1)
    tensor([[1, 2, 8, 9, 9]])
    """
    both = torch.cat([old, new], dim)
    shape = [len(places) if axis == 0 else 1 for axis in range(both.dim())]
    shape[dim] = -1
    return both.take_along_dim(places.view(shape), dim)


def behind(lengths: Tensor, most: int, new: int) -> Tensor:
    """Indices that place T new entries of each row behind its first old ones.

    Args:
        lengths: How many old entries of each row stay, shape (N,).
        most: M.
        new: T.

    Returns:
        Indices into M old and then T new entries, shape (N, M + T); the last new entry stands
        where there is nothing more.

    >>> behind(torch.tensor([1, 3]), 3, 2)
    tensor([[0, 3, 4, 4, 4],
            [0, 1, 2, 3, 4]])
    """
    stays, places = lengths[:, None], torch.arange(most + new)
    places = torch.where(places < stays, places, most + places - stays)
    return places.clamp(max=most + new - 1)


def read_ends(
    model: Network,
    kept: CachedRows,
    rows: Sequence[Row],
    of: Sequence[int],
    starts: Sequence[int],
    read: Callable[[Suffixes], None],
) -> CachedRows:
    """Keys and values of rows that extend kept rows, of which only the ends are read.

    Args:
        model: A model that shares.
        kept: Rows whose keys and values are known.
        rows: R rows.
        of: The kept row that each goes on from.
        starts: Number of its tokens that the row takes.
        read: Runs the network.

    Returns:
        Keys and values of the R rows, from their first tokens on.
    """
    batch = pad([row[start:] for row, start in zip(rows, starts, strict=True)], None, model.pad_id)
    before, trunk = torch.tensor(starts), torch.tensor(of)
    positions = before[:, None] + torch.arange(batch.ids.shape[1])
    positions = positions.clamp(max=model.last_position)
    store = Store()
    with branching(kept.store, trunk, before, store):
        read(Suffixes(batch.ids, batch.mask, positions, before, trunk))
    most = max(starts)
    places = behind(before, most, batch.ids.shape[1])
    # Layers may lie on several devices; each gets this once.
    on: dict[torch.device, tuple[Tensor, Tensor]] = {}
    for layer, added in store.layers.items():
        device = added[0].device
        if device not in on:
            on[device] = to_device(trunk, device), to_device(places, device)
        rows_of, places_of = on[device]
        keys, values = (
            join(old[:, :, :most][rows_of], new, places_of, 2)
            for old, new in zip(kept.store.layers[layer], added, strict=True)
        )
        store.layers[layer] = keys, values
    return CachedRows(rows, store, kept.inference)
