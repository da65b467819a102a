"""Cache of keys and values of generated texts, for later likelihoods."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fuse_lightning.engine.branches import Store
from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.growing_keys import Piece
from fuse_lightning.engine.prefixes import Row, RowIndex


@dataclass
class WrittenRow:
    """Generated text with its place in the cache.

    Attributes:
        ids: The prompt and all that was written, the last token, which was not read, included.
        log_probs: Log-probabilities of the written tokens, which are the last ones.
        piece: Number of the piece that holds its keys and values.
        place: Its row in the piece.
    """

    ids: Row
    log_probs: Sequence[float]
    piece: int
    place: int


class RowCache:
    """Cache of keys, values and likelihoods of generated rows, for likelihoods of longer rows.

    Pass it to :meth:`CausalLM.token_nll`: of rows that begin like one of these only what is new is
    computed. Rows that would not fit are left out, and computed anew where they are read.

    Args:
        most: Most positions that may be held, over all layers, shared ones counted once.
        reduced: Whether the trainer's reduced precision was at work.
    """

    def __init__(self, most: int, reduced: bool = False) -> None:
        self.most = most
        self.reduced = reduced
        self.clear()

    def clear(self) -> None:
        """Frees everything; later forwards compute it again."""
        self.rows: list[WrittenRow] = []
        self.positions = 0
        """Number of cached positions."""
        self._pieces: list[Piece] = []
        self._blocks: set[int] = set()
        self._index: RowIndex | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def room(self, blocks: Sequence[Store]) -> int:
        """Number of positions that are still free, for rows that share some blocks."""
        new = sum(_positions(block) for block in blocks if id(block) not in self._blocks)
        return self.most - self.positions - new

    def add(self, piece: Piece, rows: Sequence[tuple[Row, Sequence[float]]]) -> None:
        """Adds the keys and values of rows, with their ids and last log-probabilities."""
        for block in piece.blocks:
            if id(block.store) not in self._blocks:
                self._blocks.add(id(block.store))
                self.positions += _positions(block.store)
        self.positions += _positions(piece.own)
        number = len(self._pieces)
        self._pieces.append(piece)
        self.rows += [
            WrittenRow(ids, told, number, place) for place, (ids, told) in enumerate(rows)
        ]
        self._index = None

    def find(self, row: Row) -> tuple[int, int]:
        """Number of the cached row with the longest common prefix, and that prefix's length."""
        if self._index is None:
            self._index = RowIndex([written.ids for written in self.rows])
        return self._index.find(row)

    def store(self, numbers: Sequence[int]) -> Store:
        """Keys and values of some rows, each from its first token on."""
        pieces = [self.rows[number].piece for number in numbers]
        length = max(len(self.rows[number].ids) - 1 for number in numbers)
        used = sorted(set(pieces))
        order = [at for piece in used for at, other in enumerate(pieces) if other == piece]
        found = Store()
        for layer in self._pieces[used[0]].own.layers:
            parts: list[list[Tensor]] = [[], []]
            for piece in used:
                rows = torch.tensor(
                    [self.rows[n].place for n in numbers if self.rows[n].piece == piece]
                )
                for kind in (0, 1):
                    parts[kind].append(_flat(self._pieces[piece], layer, kind, rows, length))
            back = torch.tensor(order).argsort()
            keys, values = (torch.cat(some)[to_device(back, some[0].device)] for some in parts)
            found.layers[layer] = keys, values
        return found

    def told(
        self, ids: Tensor, counted: Tensor, fixed: Tensor | None
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """Counted tokens that were generated, with their known likelihoods.

        Args:
            ids: Shape (N, T).
            counted: Shape (N, T).
            fixed: How many leading tokens of each row get no gradient, shape (N,); ``None`` for
                all.

        Returns:
            Rows and columns of M tokens, and -log P of each, shape (M,).
        """
        rows: list[int] = []
        columns: list[int] = []
        values: list[float] = []
        for number, row in enumerate(ids.tolist()):
            found, agreed = self.find(tuple(row))
            written = self.rows[found]
            begin = len(written.ids) - len(written.log_probs)
            if fixed is not None:
                agreed = min(agreed, int(fixed[number]))
            for column in range(begin, agreed):
                if counted[number, column]:
                    rows.append(number)
                    columns.append(column)
                    values.append(-written.log_probs[column - begin])
        return (torch.tensor(rows), torch.tensor(columns)), torch.tensor(values)


def _positions(store: Store) -> int:
    """Number of positions that a layer holds."""
    keys, _ = next(iter(store.layers.values()))
    return keys.shape[0] * keys.shape[2]


def _flat(piece: Piece, layer: torch.nn.Module, kind: int, rows: Tensor, length: int) -> Tensor:
    """Keys (kind 0) or values (1) of some rows of a piece, (R, heads, length, width)."""
    parts = []
    own = piece.own.layers[layer][kind]
    for block in piece.blocks:
        known = block.store.layers[layer][kind][:, :, : int(block.seen.max())]
        parts.append(known[to_device(block.of[rows], known.device)])
    parts.append(own[to_device(rows, own.device)])
    places = to_device(piece.places(rows, length), own.device)
    return torch.cat(parts, 2).take_along_dim(places[:, None, :, None], 2)
