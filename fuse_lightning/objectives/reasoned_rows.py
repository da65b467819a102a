"""Rows of questions with the chains, extractors and answers behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch.nn import functional as F

from fuse_lightning.engine.prefixes import Row
from fuse_lightning.engine.token_batch import TokenBatch, pad
from fuse_lightning.objectives.layout import ANSWER
from fuse_lightning.objectives.reading import Reading

CHAIN, EXTRACTOR = "chain", "extractor"
"""Names of a row's pieces between the question and the answer."""


@dataclass(frozen=True)
class Behind:
    """What stands in a row behind its question.

    Attributes:
        head: Number of the row of the question.
        number: Number of the chain among those of the question.
        chain: Ids of the chain.
        extractor: Ids behind it.
        answer: Ids of the answer.
        mark: Number that is noted of the row.
    """

    head: int
    number: int
    chain: Row
    extractor: Row
    answer: Row
    mark: float


def extended(heads: Reading, tails: Sequence[Behind], pad_id: int) -> Reading:
    """Reading of questions with something behind them, as ids.

    Args:
        heads: Rows that end where a chain begins.
        tails: What stands behind them, for R rows.
        pad_id: Id that fills up short rows.
    """
    at = torch.tensor([tail.head for tail in tails], dtype=torch.long)
    rows = heads.rows.rows
    parts = [(rows[tail.head], tail.chain, tail.extractor, tail.answer) for tail in tails]
    whole = pad([sum(some, ()) for some in parts], None, pad_id)
    width = whole.ids.shape[1]
    sizes = torch.tensor([[*map(len, some)] for some in parts], dtype=torch.long).view(-1, 4)
    ends = sizes.cumsum(1)
    place = torch.arange(width)
    more = width - heads.rows.ids.shape[1]
    pieces = {
        name: F.pad(piece[at], (0, more)) if more >= 0 else piece[at, :width]
        for name, piece in heads.pieces.items()
    }
    for name, (begin, end) in zip((CHAIN, EXTRACTOR, ANSWER), pairwise(ends.T), strict=True):
        pieces[name] = (place >= begin[:, None]) & (place < end[:, None])
    spans = heads.rows.spans[at]
    spans = F.pad(spans, (0, 0, 0, more)) if more >= 0 else spans[:, :width]
    return Reading(
        TokenBatch(whole.ids, whole.mask, spans),
        pieces,
        heads.of[at],
        heads.owner[at],
        heads.example[at],
        torch.tensor([tail.number for tail in tails], dtype=torch.long),
        heads.reader[at],
        heads.offset[at],
        None if heads.own is None else heads.own[at],
        marks=torch.tensor([tail.mark for tail in tails]),
    )
