"""Rows that were read before, and go on."""

from bisect import bisect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

import torch
from torch import Tensor

from fuse_lightning.models.base import FrozenModel, pad
from fuse_lightning.models.sharing import Kept, Store, branching, join, recording
from fuse_lightning.models.trunks import Row


@dataclass
class Ends:
    """What a forward reads of R rows.

    Attributes:
        ids: Tokens, shape (R, T).
        mask: True for tokens, shape (R, T).
        positions: Of the tokens in the whole row, shape (R, T); ``None`` where all begin at 0.
        starts: How many tokens of each row come before them, shape (R,).
        of: The kept row that begins with those, shape (R,).
    """

    ids: Tensor
    mask: Tensor
    positions: Tensor | None
    starts: Tensor
    of: Tensor


def read_on(
    model: FrozenModel,
    kept: Kept | None,
    rows: Sequence[Row],
    read: Callable[[Ends], None],
) -> Kept:
    """Reads rows, of those that begin like kept ones only the rest.

    The last token that they share is read again: what it tells of the next one is not kept.

    Args:
        model: A model that shares.
        kept: What was read before.
        rows: The rows, distinct.
        read: Runs the network.
    """
    mode = (torch.is_autocast_enabled(model.device.type), torch.is_inference_mode_enabled())
    if kept is not None and kept.mode == mode:
        of, starts = _longest(kept.rows, rows)
        if any(starts) and sum(starts) >= model.worth:
            return _read_ends(model, kept, rows, of, starts, read)
    batch = pad(rows, None, model.pad_id)
    none = torch.zeros(len(rows), dtype=torch.long)
    with recording() as store:
        read(Ends(batch.ids, batch.mask, None, none, none))
    return Kept(rows, store, mode)


def _read_ends(
    model: FrozenModel,
    kept: Kept,
    rows: Sequence[Row],
    of: Sequence[int],
    starts: Sequence[int],
    read: Callable[[Ends], None],
) -> Kept:
    batch = pad([row[start:] for row, start in zip(rows, starts, strict=True)], None, model.pad_id)
    trunk, before = torch.tensor(of), torch.tensor(starts)
    positions = before[:, None] + torch.arange(batch.ids.shape[1])
    positions = positions.clamp(max=model.max_tokens - 1)
    new = Store()
    with branching(kept.store, trunk, before, new):
        read(Ends(batch.ids, batch.mask, positions, before, trunk))
    for layer, (keys, values) in new.layers.items():
        old = (part[trunk.to(part.device)] for part in kept.store.layers[layer])
        keys, values = (
            join(part, more, before, 2) for part, more in zip(old, (keys, values), strict=True)
        )
        new.layers[layer] = keys, values
    return Kept(rows, new, kept.mode)


def _longest(known: Sequence[Row], rows: Sequence[Row]) -> tuple[list[int], list[int]]:
    """Which known row agrees longest with each row, and on how many tokens but the last."""
    order = sorted(range(len(known)), key=lambda index: known[index])
    ranked = [known[index] for index in order]
    of, starts = [], []
    for row in rows:
        place = bisect(ranked, row)
        # Of sorted rows, those beside the place of another agree with it longest.
        length, best = max(
            (_agree(ranked[near], row), near)
            for near in (place - 1, place)
            if 0 <= near < len(ranked)
        )
        of.append(order[best])
        starts.append(max(0, length - 1))
    return of, starts


def _agree(a: Row, b: Row) -> int:
    pairs = zip(a, b, strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
