"""Key/value cache of rows that grow by one token per forward, written in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from fuse_lightning.engine.branches import Groups, Store
from fuse_lightning.engine.devices import to_device


@dataclass
class Block:
    """Keys and values of R shared beginnings, which N rows read.

    Attributes:
        store: Keys and values, (R, heads, L, width) for each layer.
        of: The beginning of each row, shape (N,), on the CPU.
        seen: How many of its tokens each row sees, shape (N,), on the CPU.
    """

    store: Store
    of: Tensor
    seen: Tensor

    def select(self, rows: Tensor) -> Block:
        """The block for some of its rows."""
        return replace(self, of=self.of[rows], seen=self.seen[rows])


@dataclass
class Piece:
    """Keys and values of N generated rows, in their memory layout.

    A row's tokens are those that it sees of each block, then those of its own that it began with,
    then, from column ``width`` on, those that were written.

    Attributes:
        blocks: Shared beginnings of the rows.
        own: Keys and values of the rows' own tokens, (N, heads, C, width) for each layer.
        given: How many of its own tokens each row began with, shape (N,).
        width: Columns of those.
    """

    blocks: Sequence[Block]
    own: Store
    given: Tensor
    width: int

    def places(self, rows: Tensor, length: int) -> Tensor:
        """Columns of the first tokens of some rows, blocks and own columns side by side.

        Args:
            rows: Numbers of R rows.
            length: T tokens of each; further ones than a row has are any column.

        Returns:
            Shape (R, T).
        """
        token = torch.arange(length).expand(len(rows), -1)
        places = torch.zeros_like(token)
        begin, column = torch.zeros(len(rows), 1, dtype=torch.long), 0
        for block in self.blocks:
            places = torch.where(token >= begin, column + token - begin, places)
            begin = begin + block.seen[rows, None]
            column += int(block.seen.max())
        places = torch.where(token >= begin, column + token - begin, places)
        begin, column = begin + self.given[rows, None], column + self.width
        places = torch.where(token >= begin, column + token - begin, places)
        _, _, columns, _ = next(iter(self.own.layers.values()))[0].shape
        return places.clamp(max=column - self.width + columns - 1)


class GrowingKeys:
    """Key/value cache of N rows under generation, with free columns for the tokens to come.

    Room is set aside once, and a forward writes its token into it: nothing that is there is copied
    until rows end. The rows' tokens stand in columns: those of shared blocks, then those that a
    row began with alone, padded on the right, then the written ones. The key of a token says
    where in its row it stands, so gaps between columns matter to no one but the mask.

    Args:
        blocks: Shared beginnings of rows; the rows of a block read it together.
        given: How many tokens of its own each row begins with, shape (N,), on the CPU.
        room: How many tokens may be written.
        own: Keys and values of the given tokens, (N, heads, S, width) for each layer.
    """

    def __init__(
        self, blocks: Sequence[Block], given: Tensor, room: int, own: Store | None = None
    ) -> None:
        self.blocks = blocks
        self.given = given
        self.width = int(given.max())
        self.columns = self.width + room
        self.column = self.width
        """Column of the next token."""
        self._groups = [Groups(block.of, block.seen) for block in blocks]
        self.shared = sum(groups.length for groups in self._groups)
        """Columns of the blocks."""
        self._layers: dict[nn.Module, tuple[Tensor, Tensor]] = {}
        self._blocks: dict[nn.Module, list[tuple[Tensor, Tensor]]] = {}
        self._seen, self._positions = self._layout()
        self._masks: dict[tuple[torch.device, torch.dtype], Tensor | None] = {}
        self._windows: dict[tuple[torch.device, torch.dtype, int], Tensor] = {}
        for layer, parts in own.layers.items() if own else ():
            self._layers[layer] = self._room(parts[0], self.width), self._room(parts[1], self.width)

    @property
    def keys(self) -> float:
        """Keys before its own that a row's new token is multiplied with."""
        return sum(groups.keys for groups in self._groups) + self.column

    def _layout(self) -> tuple[Tensor, Tensor]:
        """Mask of the columns that each row sees, and their positions, both (N, L + C)."""
        begin = torch.zeros_like(self.given)[:, None]
        seen, positions = [], []
        for block, groups in zip(self.blocks, self._groups, strict=True):
            column = torch.arange(groups.length)
            seen.append(column < block.seen[:, None])
            positions.append(begin + column)
            begin = begin + block.seen[:, None]
        column, given = torch.arange(self.columns), self.given[:, None]
        seen.append((column < given) | (column >= self.width))
        written = column - self.width + given
        positions.append(begin + torch.where(column < self.width, column, written))
        return torch.cat(seen, 1), torch.cat(positions, 1)

    def _room(self, known: Tensor, columns: int) -> Tensor:
        """Keys or values of a layer with free columns behind the first ones."""
        rows, heads, _, width = known.shape
        room = known.new_empty(rows, heads, self.columns, width)
        room[:, :, :columns] = known[:, :, :columns]
        return room

    def advance(self) -> None:
        """Moves to the next column, once all layers have written the current one."""
        self.column += 1
        self._windows.clear()

    def select(self, rows: Tensor) -> GrowingKeys:
        """The cache of some of the rows, whose numbers have shape (n,), on the CPU."""
        blocks = [block.select(rows) for block in self.blocks]
        found = GrowingKeys(blocks, self.given[rows], self.columns - self.width)
        # The columns stay where they are, though the longest of the given rows may have gone.
        found.width, found.columns, found.column = self.width, self.columns, self.column
        found._seen, found._positions = found._layout()
        for layer, parts in self._layers.items():
            there = to_device(rows, parts[0].device)
            keys, values = (
                found._room(part[:, :, : self.column][there], self.column) for part in parts
            )
            found._layers[layer] = keys, values
        return found

    def piece(self, rows: Tensor, columns: int) -> Piece:
        """Keys and values of some rows, shape (n,), up to a number of their own columns."""
        own = Store()
        # Where nothing was read yet but what rows share, there are no columns.
        layers = self._layers or self.blocks[0].store.layers
        for layer, parts in layers.items():
            of = rows if self._layers else torch.zeros_like(rows)
            there = to_device(of, parts[0].device)
            keys, values = (part[:, :, :columns][there] for part in parts)
            own.layers[layer] = keys, values
        blocks = [block.select(rows) for block in self.blocks]
        return Piece(blocks, own, self.given[rows], self.width)

    def attend(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        scaling: float | None = None,
        sliding_window: int | None = None,
    ) -> Tensor:
        """Attention output of the one new token of each row, (N, 1, heads, width)."""
        if module not in self._layers:
            self._layers[module] = self._room(key, 0), self._room(value, 0)
        keys, values = self._layers[module]
        keys[:, :, self.column : self.column + 1] = key
        values[:, :, self.column : self.column + 1] = value
        end = self.column + 1
        keys, values = keys[:, :, :end], values[:, :, :end]
        mask = self._mask(sliding_window, query.device, query.dtype)
        if not self.blocks:
            output: Tensor = sdpa_attention_forward(
                module, query, keys, values, mask, scaling=scaling, is_causal=False
            )[0]
            return output
        rows, heads, _, width = query.shape
        # Heads that read the same keys stand beside each other, as tokens would.
        packed = query.view(rows, keys.shape[1], -1, width)
        packed = packed * (width**-0.5 if scaling is None else scaling)
        theirs = self._trunks(module)
        scores = [
            groups.scatter(groups.gather(packed) @ trunk_keys.mT)
            for groups, (trunk_keys, _) in zip(self._groups, theirs, strict=True)
        ]
        joined = torch.cat([*scores, packed @ keys.mT], dim=-1)
        joined = joined.to(torch.promote_types(joined.dtype, torch.float32))
        joined = joined if mask is None else joined + mask
        parts = joined.softmax(-1).to(value.dtype)
        sizes = [*(groups.length for groups in self._groups), end]
        *shared, mine = torch.split(parts, sizes, dim=-1)
        found = mine @ values
        for groups, weights, (_, trunk_values) in zip(self._groups, shared, theirs, strict=True):
            found = found + groups.scatter(groups.gather(weights) @ trunk_values)
        output = found.view(rows, heads, 1, -1)
        return output.transpose(1, 2)

    def _trunks(self, module: nn.Module) -> list[tuple[Tensor, Tensor]]:
        """Keys and values of each group of each block, gathered once."""
        if module not in self._blocks:
            self._blocks[module] = [
                (groups.trunks(keys), groups.trunks(values))
                for block, groups in zip(self.blocks, self._groups, strict=True)
                for keys, values in [block.store.layers[module]]
            ]
        return self._blocks[module]

    def _mask(self, window: int | None, device: torch.device, dtype: torch.dtype) -> Tensor | None:
        """Additive mask of the columns so far, (N, 1, 1, L + c); ``None`` if all are seen."""
        end = self.shared + self.column + 1
        if window is None:
            if (device, dtype) not in self._masks:
                all_seen = bool(self._seen.all())
                self._masks[device, dtype] = None if all_seen else _added(self._seen, device, dtype)
            mask = self._masks[device, dtype]
            return mask if mask is None else mask[..., :end]
        if (device, dtype, window) not in self._windows:
            positions = self._positions[:, :end]
            near = positions[:, -1:] - positions < window
            self._windows[device, dtype, window] = _added(self._seen[:, :end] & near, device, dtype)
        return self._windows[device, dtype, window]


def _added(seen: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Additive mask: 0 where a column is seen and minus infinity elsewhere, (N, 1, 1, columns)."""
    added = torch.zeros(seen.shape, dtype=dtype).masked_fill(~seen, -torch.inf)
    return to_device(added, device)[:, None, None]
