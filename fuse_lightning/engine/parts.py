"""Parts of batched forwards: trunks, and the ends of the rows that follow them."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from fuse_lightning.engine.attention import branching
from fuse_lightning.engine.branches import Store
from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.kv_reuse import Suffixes
from fuse_lightning.engine.network import Network
from fuse_lightning.engine.prefixes import Row
from fuse_lightning.engine.token_batch import pad

PADDING = 0.08
"""Most padded positions of a forward per real position."""


@dataclass
class Part:
    """Input of one forward: shared trunks, or the ends of rows behind them.

    Attributes:
        ids: Tokens, shape (n, T).
        mask: True for tokens, shape (n, T).
        starts: How many tokens of its row come before each, shape (n,).
        positions: Positions in the whole row, shape (n, T); ``None`` where all begin at 0.
        rows: Numbers of the m rows that are computed here, shape (m,).
        places: Their places in this forward, shape (m,).
        stops: How many tokens of each of them are done after it, shape (m,).
        trunk: Whether these are trunks, which others go on from.
        sources: The row whose embeddings each row of the forward takes, shape (n,); ``None`` for
            those of the ids.
    """

    ids: Tensor
    mask: Tensor
    starts: Tensor
    positions: Tensor | None
    rows: Tensor
    places: Tensor
    stops: Tensor
    trunk: bool
    sources: Tensor | None

    def embeds(self, whole: Tensor | None) -> Tensor | None:
        """Embeddings of this part, shape (n, T, d), out of those of all rows, shape (N, T, d)."""
        if whole is None or self.sources is None:
            return None
        places = (self.starts[:, None] + torch.arange(self.ids.shape[1])).clamp(
            max=whole.shape[1] - 1
        )
        return whole[
            to_device(self.sources, whole.device)[:, None], to_device(places, whole.device)
        ]


def trunk_part(
    ends: Suffixes,
    members: Sequence[int],
    places: Sequence[int],
    stops: Sequence[int],
    sources: Sequence[int] | None = None,
) -> Part:
    """Input of a forward over trunks.

    Args:
        ends: Input of the forward.
        members: Numbers of the rows that follow the trunks.
        places: The place of each one's trunk in the forward.
        stops: How many tokens each takes from it.
        sources: The row whose embeddings each trunk takes; ``None`` for those of its ids.
    """
    return Part(
        ends.ids,
        ends.mask,
        ends.starts,
        ends.positions,
        torch.tensor(members),
        torch.tensor(places),
        torch.tensor(stops),
        True,
        None if sources is None else torch.tensor(sources),
    )


def visit_ends(
    model: Network,
    rows: Sequence[Row],
    members: Sequence[int],
    of: Sequence[int] | dict[int, int],
    shared: Sequence[int],
    store: Store | None,
    visit: Callable[[Part], None],
) -> None:
    """Runs a callback on forwards over the unshared ends of rows.

    Args:
        model: The model.
        rows: All rows.
        members: Numbers of those that are visited.
        of: The trunk of each row.
        shared: How many tokens each row takes from it.
        store: Keys and values of the trunks, if there are any.
        visit: Callback, see :func:`for_each_batch`.
    """
    order = sorted(members, key=lambda index: len(rows[index]) - shared[index])

    def together(chosen: slice) -> None:
        some = order[chosen]
        batch = pad([rows[index][shared[index] :] for index in some], None, model.pad_id)
        starts = torch.tensor([shared[index] for index in some])
        numbers = torch.tensor(some)
        positions = starts[:, None] + torch.arange(batch.ids.shape[1])
        part = Part(
            batch.ids,
            batch.mask,
            starts,
            positions.clamp(max=model.last_position) if store else None,
            numbers,
            torch.arange(len(some)),
            torch.tensor([len(rows[index]) for index in some]),
            False,
            numbers,
        )
        trunks = torch.tensor([of[index] for index in some])
        with branching(store, trunks, starts) if store else nullcontext():
            visit(part)

    lengths = [max(len(rows[index]) - shared[index], model.full_length) for index in order]
    model.budget.run(lengths, together, PADDING)
