"""Rows that a term puts together from ids, such as those behind a text that a model wrote."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from fuse_lightning.engine.token_batch import pad
from fuse_lightning.objectives.layout import ANSWER, PROMPT
from fuse_lightning.objectives.own_tokens import OwnTokens
from fuse_lightning.objectives.prompts import Prompts
from fuse_lightning.objectives.reading import Reading


@dataclass(frozen=True)
class IdRow:
    """One row of ids: before the prompt, the prompt, and behind it.

    Attributes:
        prompt: Number of the prompt.
        head: Ids before the prompt, special ones included.
        state: Ids of the prompt.
        tail: Ids behind the prompt.
        answer: How many ids at the end of the tail the model shall write.
        example: Example of the prompt's target.
        number: Number of the row among those of the example.
    """

    prompt: int
    head: tuple[int, ...]
    state: tuple[int, ...]
    tail: tuple[int, ...]
    answer: int = 0
    example: int = 0
    number: int = 0


def read_id_rows(rows: Sequence[IdRow], prompts: Prompts, pad_id: int) -> Reading:
    """The reading of rows that a term has put together itself, for its own ``read``.

    A text that a model wrote stays the ids that the model wrote: spelt and read again, they might
    be others. The term's model must have the primary's tokens.

    Args:
        rows: R rows.
        prompts: The prompts that they read.
        pad_id: Id that fills up short rows.
    """
    batch = pad([(*row.head, *row.state, *row.tail) for row in rows], None, pad_id)
    numbers = [
        (row.prompt, prompts.owners[row.prompt], row.example, row.number, len(row.head))
        for row in rows
    ]
    of, owner, example, number, begin = torch.tensor(numbers, dtype=torch.long).view(-1, 5).T
    sizes = torch.tensor([(len(row.state), row.answer) for row in rows], dtype=torch.long)
    size, answer = sizes.view(-1, 2).T[..., None]
    place, end = torch.arange(batch.ids.shape[1]), batch.mask.sum(1)[:, None]
    first = begin[:, None]
    pieces = {
        PROMPT: (place >= first) & (place < first + size),
        ANSWER: (place >= end - answer) & (place < end),
    }
    none, one = torch.zeros_like(of), torch.ones_like(of)
    own = OwnTokens([None], none, one)
    return Reading(batch, pieces, of, owner, example, number, none, none, own)
