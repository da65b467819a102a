"""Columns of a prompt's own ids in rows that read them, and the gradients there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from fuse_lightning.adapters import HeadGradient
from fuse_lightning.adapters.maps import pull_back
from fuse_lightning.engine.devices import to_device
from fuse_lightning.models import FrozenModel
from fuse_lightning.objectives.openings import Openings


@dataclass
class OwnTokens:
    """Columns of the ids of prompts in R rows, and how their first tokens are read.

    Behind another prefix the first token of a prompt may be read as others, such as one without
    a space. All later ones are themselves.

    Attributes:
        kinds: Re-tokenized first tokens; ``None`` where they stay themselves.
        kind: Which of the kinds holds in each row, shape (R,); -1 for a row that reads the
            prompt's text and not its ids.
        firsts: As how many tokens the first of each prompt is read, shape (R,).
    """

    kinds: list[Openings | None]
    kind: Tensor
    firsts: Tensor

    def __getitem__(self, some: slice | Tensor) -> OwnTokens:
        """Entries of some rows."""
        return OwnTokens(self.kinds, self.kind[some], self.firsts[some])

    @classmethod
    def joined(cls, parts: Sequence[OwnTokens | None], counts: Sequence[int]) -> OwnTokens | None:
        """Entries of several readings in one; ``None`` if none of them reads ids."""
        if not any(parts):
            return None
        kinds: list[Openings | None] = []
        kind, firsts = [], []
        for part, count in zip(parts, counts, strict=True):
            known = part or cls([], torch.full((count,), -1), torch.ones(count, dtype=torch.long))
            kind.append(torch.where(known.kind < 0, -1, known.kind + len(kinds)))
            firsts.append(known.firsts)
            kinds += known.kinds
        return cls(kinds, torch.cat(kind), torch.cat(firsts))

    def column(self, place: Tensor) -> Tensor:
        """Columns of prompt positions, counted from the prompt's first column in the row.

        Args:
            place: Places, shape (R,) or (R, L).
        """
        more = self.firsts - 1
        return place + torch.where(place > 0, more if place.dim() == 1 else more[:, None], 0)


def own_heads(
    model: FrozenModel,
    own: OwnTokens,
    grad: Tensor,
    lengths: Tensor,
    length: int,
    *,
    embeddings: bool = False,
    back: tuple[Tensor, Tensor] | None = None,
) -> list[HeadGradient]:
    """Gradients at the positions of R prompts, in the spaces in which their tokens are read.

    Args:
        model: The model that reads them.
        own: How the prompts stand in the rows.
        grad: Gradients at the columns of the prompt, shape (R, P, d).
        lengths: How many columns each prompt has, shape (R,).
        length: L, tokens of the longest prompt.
        embeddings: Whether all must be gradients of embeddings.
        back: Where the gradients must be those of another model's embeddings: its table, shape
            (V, D), and the map from these to the embeddings of ``model``, shape (1, 1, D, d).
    """
    there = partial(to_device, device=grad.device)
    column = own.column(torch.arange(length).repeat(len(lengths), 1))
    valid = there(column < lengths[:, None])
    rows = there(torch.arange(len(lengths))[:, None])
    at = grad[rows, there(column.clamp(max=grad.shape[1] - 1))]
    table = model.embedding_table.float()
    heads, later = [], valid
    if [*own.kinds] != [None]:
        first = torch.zeros_like(at[:, :1])
        for place in range(min(int(own.firsts.max()), grad.shape[1])):
            first[:, 0] += grad[:, place] * there(own.firsts > place)[:, None]
        at_first = torch.arange(length, device=grad.device) == 0
        for number, openings in enumerate(own.kinds):
            if openings is None:
                continue
            here = there(own.kind == number)[:, None]
            if embeddings:
                moved = pull_back(openings.map, first)
                at[:, :1] = torch.where(here[..., None], moved, at[:, :1])
                continue
            opening = torch.zeros_like(at)
            opening[:, :1] = first
            heads.append(HeadGradient(openings.table, opening, valid & here & at_first))
            later = later & ~(here & at_first)
    if back is None:
        return [*heads, HeadGradient(table, at, later)]
    other, weights = back
    flat = pull_back(weights, at.flatten(0, 1).unsqueeze(1))
    return [*heads, HeadGradient(other, flat.view(*at.shape[:2], -1), later)]


def own_labels(own: OwnTokens, change: Tensor, length: int) -> Tensor:
    """Label changes at the positions of the prompts.

    Args:
        own: How R prompts stand in the rows.
        change: Label changes at the columns of the prompt, shape (R, P, V).
        length: L, tokens of the longest prompt.

    Returns:
        Shape (R, L, V). Where a first token would be read as several, the part is that of the
        first of these: what the others add is not known.
    """
    if [*own.kinds] == [None] or not length:
        return change
    there = partial(to_device, device=change.device)
    rows = there(torch.arange(len(own.firsts))[:, None])
    moved = change[rows, there(own.column(torch.arange(length).repeat(len(own.firsts), 1)))]
    for number, openings in enumerate(own.kinds):
        if openings is not None:
            here = there(own.kind == number).nonzero().squeeze(1)
            moved[here, 0] = change[here, 0][:, openings.first]
    return moved
