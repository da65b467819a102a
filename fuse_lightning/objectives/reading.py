"""Reading: the rows of tokens that a term's models read for some prompts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial

import torch
from torch import Tensor

from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.token_batch import TokenBatch
from fuse_lightning.objectives.layout import ANSWER, PROMPT
from fuse_lightning.objectives.own_tokens import OwnTokens


@dataclass
class Reading:
    """R rows that read N prompts: one row each, or one for each example, label or sample.

    All but the rows' ids lies on the CPU.

    Attributes:
        rows: The tokens, shape (R, T).
        pieces: For each field of the layout, such as the prompt, True for its tokens, (R, T).
        of: The prompt that each row reads, shape (R,).
        owner: The target of that prompt, shape (R,).
        example: The example of that target, shape (R,).
        number: Number of the row among those of the example, such as its label, shape (R,).
        reader: Which of the term's models reads the row, shape (R,).
        offset: First character of the prompt in the row's text, shape (R,).
        own: How the prompt's own ids stand in the rows; ``None`` where its text is read.
        fixed: How many leading tokens of each row need no gradient, shape (R,); ``None`` for none
            of them.
        alike: Number of each row, shape (R,): where the ids of two rows with one number agree, so
            do their input embeddings, and their gradients are added up. ``None`` where each row
            has embeddings of its own.
        marks: Numbers that the term itself notes of each row, shape (R,); ``None`` for none.
    """

    rows: TokenBatch
    pieces: dict[str, Tensor]
    of: Tensor
    owner: Tensor
    example: Tensor
    number: Tensor
    reader: Tensor
    offset: Tensor
    own: OwnTokens | None = None
    fixed: Tensor | None = None
    alike: Tensor | None = None
    marks: Tensor | None = None

    @classmethod
    def single(cls, rows: TokenBatch, prompt: Tensor, owner: Tensor) -> Reading:
        """One row for each of N prompts, read by the term's first model.

        Args:
            rows: The tokens, shape (N, T).
            prompt: True for tokens of the prompt, shape (N, T).
            owner: Index of each prompt's target, shape (N,).
        """
        none = torch.zeros(len(owner), dtype=torch.long)
        of = torch.arange(len(owner))
        return cls(rows, {PROMPT: prompt}, of, owner, none, none, none, none)

    def __len__(self) -> int:
        """R, the number of rows."""
        return len(self.of)

    def __getitem__(self, some: slice | Tensor) -> Reading:
        """Reading of some of the rows, trimmed to the longest of them."""
        rows = self.rows[some]
        width = rows.ids.shape[1]
        return Reading(
            rows,
            {name: places[some, :width] for name, places in self.pieces.items()},
            self.of[some],
            self.owner[some],
            self.example[some],
            self.number[some],
            self.reader[some],
            self.offset[some],
            None if self.own is None else self.own[some],
            None if self.fixed is None else self.fixed[some],
            None if self.alike is None else self.alike[some],
            None if self.marks is None else self.marks[some],
        )

    def to(self, device: torch.device) -> Reading:
        """Copy with ids, mask and owners on a device; everything else stays on the CPU."""
        return replace(self, rows=self.rows.to(device), owner=to_device(self.owner, device))

    @property
    def prompt(self) -> Tensor:
        """Mask of the prompt's own tokens, shape (R, T)."""
        return self.pieces[PROMPT]

    @property
    def wanted(self) -> Tensor | None:
        """Mask of the tokens that the model shall write, shape (R, T); ``None`` without any."""
        return self.pieces.get(ANSWER)

    @property
    def lengths(self) -> Tensor:
        """Number of tokens of each row, shape (R,)."""
        return self.rows.mask.sum(1)

    @property
    def start(self) -> Tensor:
        """Column of each prompt's first token, shape (R,); 0 for an empty prompt."""
        return self.prompt.int().argmax(1)

    @cached_property
    def plain(self) -> bool:
        """Whether each prompt has exactly one row, in the same order."""
        return torch.equal(self.of, torch.arange(len(self)))

    @cached_property
    def pairs(self) -> Tensor:
        """The M distinct pairs of a prompt and an example, sorted, shape (M, 2)."""
        return self._items[0]

    @property
    def item(self) -> Tensor:
        """Index of each row's pair in :attr:`pairs`, shape (R,)."""
        return self._items[1]

    def table(self, values: Tensor) -> Tensor:
        """Values of rows in a table with a line for each pair.

        Where several models read the rows, those of the first model come first.

        Args:
            values: Shape (R,).

        Returns:
            Shape (M, C) for up to C rows of a pair; infinite where a pair has fewer.
        """
        there = partial(to_device, device=values.device)
        width = int(self.number.max()) + 1
        column = self.reader * width + self.number
        shape = len(self.pairs), width * (int(self.reader.max()) + 1)
        return values.new_full(shape, torch.inf).index_put(
            (there(self.item), there(column)), values
        )

    def per_pair(self, values: Tensor) -> Tensor:
        """One value for each pair, of values that are equal in all of its rows: (R,) to (M,)."""
        found = values.new_empty(len(self.pairs))
        found[to_device(self.item, values.device)] = values
        return found

    @cached_property
    def _items(self) -> tuple[Tensor, Tensor]:
        both = torch.stack([self.of, self.example], dim=1)
        if self.plain:
            return both, self.of
        pairs, item = torch.unique(both, dim=0, return_inverse=True)
        return pairs, item


def joined(readings: list[Reading], pad_id: int) -> Reading:
    """One reading with the rows of several readings, one behind the other.

    Args:
        readings: Readings of the same prompts.
        pad_id: Id that fills up short rows.
    """
    if len(readings) == 1:
        return readings[0]
    width = max(reading.rows.ids.shape[1] for reading in readings)
    names = [*dict.fromkeys(name for reading in readings for name in reading.pieces)]

    def widened(part: Tensor, value: int | bool = 0) -> Tensor:
        shape = len(part), width, *part.shape[2:]
        whole = part.new_full(shape, value)
        whole[:, : part.shape[1]] = part
        return whole

    def piece(reading: Reading, name: str) -> Tensor:
        found = reading.pieces.get(name)
        return widened(torch.zeros_like(reading.rows.mask) if found is None else found)

    def along(name: str) -> Tensor:
        return torch.cat([getattr(reading, name) for reading in readings])

    rows = [reading.rows for reading in readings]
    return Reading(
        TokenBatch(
            torch.cat([widened(each.ids, pad_id) for each in rows]),
            torch.cat([widened(each.mask) for each in rows]),
            torch.cat([widened(each.spans) for each in rows]),
        ),
        {name: torch.cat([piece(reading, name) for reading in readings]) for name in names},
        along("of"),
        along("owner"),
        along("example"),
        along("number"),
        along("reader"),
        along("offset"),
        OwnTokens.joined([reading.own for reading in readings], list(map(len, readings))),
    )


def mean_of(values: Tensor, of: Tensor, count: int) -> Tensor:
    """Means of the values of each of ``count`` owners.

    Args:
        values: Shape (R, ...).
        of: Owner of each value, shape (R,).
        count: How many owners there are.

    Returns:
        Shape (count, ...).

    Example:
        >>> mean_of(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([0, 0, 1]), 2)
        tensor([2., 5.])
    """
    there = partial(to_device, device=values.device)
    sums = values.new_zeros(count, *values.shape[1:]).index_add(0, there(of), values)
    # Counted where the owners lie, on the CPU: a CUDA device would be waited for.
    counts = there(of.bincount(minlength=count).clamp(min=1))
    return sums / counts.view(-1, *[1] * (values.dim() - 1))


def row_weights(reading: Reading) -> Tensor:
    """Weights that make all prompts count alike, shape (R,), on the CPU.

    Those of a prompt add up to 1. Its examples count alike, and so do the rows of an example.
    """
    pairs = equal_weights(reading.pairs[:, 0])
    return equal_weights(reading.item) * pairs[reading.item]


def equal_weights(of: Tensor) -> Tensor:
    """Equal weights within each owner, with the sum 1.

    Args:
        of: Owner of each of M things, shape (M,).

    Returns:
        Shape (M,).

    Example:
        >>> equal_weights(torch.tensor([0, 2, 0, 2, 2]))
        tensor([0.5000, 0.3333, 0.5000, 0.3333, 0.3333])
    """
    return 1 / of.bincount()[of]
