"""Recording of what streams say of every token, while texts are written or read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from fuse_lightning.decoding.divergences import divergences
from fuse_lightning.decoding.scored_text import MEASURES, Tokens
from fuse_lightning.engine.devices import to_device
from fuse_lightning.models import CausalLM

Tops = list[list[tuple[int, float]]]
"""For each stream its likeliest ids with their probabilities."""


@dataclass
class Record:
    """What was recorded of one text, token by token.

    Attributes:
        ids: Ids of the tokens.
        divergences: Divergences at each token, in the order of :data:`MEASURES`.
        log_probs: Log-probability of each token by each stream (nats).
        tops: Likeliest tokens at each place by each stream.
    """

    ids: list[int] = field(default_factory=list)
    divergences: list[list[float]] = field(default_factory=list)
    log_probs: list[list[float]] = field(default_factory=list)
    tops: list[Tops] = field(default_factory=list)

    def tokens(self, model: CausalLM, names: Sequence[str], count: int | None = None) -> Tokens:
        """Measures of the first tokens.

        Args:
            model: A model whose tokenizer spells them.
            names: Names of the streams.
            count: How many tokens; by default all.
        """
        rows = slice(count)
        ids = tuple(self.ids[rows])
        told = {top for tops in self.tops for each in tops for top, _ in each}
        spelled = spelled_ids(model, told)
        tops = {
            name: tuple(
                tuple((spelled[top], round(p, 4)) for top, p in place[number])
                for place in self.tops[rows]
            )
            for number, name in enumerate(names if any(self.tops) else ())
        }
        return Tokens(
            pieces(model, ids),
            ids,
            _columns(MEASURES, self.divergences[rows]),
            _columns(names, self.log_probs[rows]),
            tops,
        )


class Recording:
    """Records of T texts.

    Args:
        count: Number of texts.
        pair: Numbers of the two streams whose divergences are recorded.
        top: How many of the likeliest tokens are recorded for each stream; 0 for none.
    """

    def __init__(self, count: int, pair: tuple[int, int], top: int = 5) -> None:
        self.records = [Record() for _ in range(count)]
        self.pair = pair
        self.top = top

    def restart(self, text: int) -> None:
        """Forgets what was recorded of a text."""
        self.records[text] = Record()

    @torch.no_grad()
    def add(self, texts: Sequence[int], log_probs: Tensor, tokens: Sequence[int]) -> None:
        """Records a token of some texts.

        Args:
            texts: Numbers of N texts; one may come several times, with its tokens in order.
            log_probs: Log-probabilities at the token (nats), shape (S, N, V).
            tokens: Id of each token.
        """
        first, second = (log_probs[number] for number in self.pair)
        apart = torch.stack(divergences(first, second), 1)
        chosen = to_device(torch.tensor(tokens), log_probs.device)
        told = log_probs.gather(2, chosen.expand(len(log_probs), -1)[..., None]).squeeze(2).T
        width = apart.shape[1]
        rows = torch.cat([apart, told], 1).tolist()
        tops: list[Tops] = [[] for _ in texts]
        if count := min(self.top, log_probs.shape[2]):
            likely, ids = (each.transpose(0, 1).tolist() for each in log_probs.topk(count))
            tops = [
                [
                    [(top, math.exp(value)) for top, value in zip(*pair, strict=True)]
                    for pair in zip(*both, strict=True)
                ]
                for both in zip(ids, likely, strict=True)
            ]
        for text, token, row, top in zip(texts, tokens, rows, tops, strict=True):
            record = self.records[text]
            record.ids.append(token)
            record.divergences.append(row[:width])
            record.log_probs.append(row[width:])
            record.tops.append(top)


def _columns(names: Sequence[str], rows: Sequence[Sequence[float]]) -> dict[str, tuple[float, ...]]:
    """Columns of rows by their names; all names are there where there is no row.

    >>> _columns(("kl", "js"), [[1.0, 2.0], [3.0, 4.0]]), _columns(("kl",), [])
    ({'kl': (1.0, 3.0), 'js': (2.0, 4.0)}, {'kl': ()})
    """
    return {name: tuple(row[number] for row in rows) for number, name in enumerate(names)}


def pieces(model: CausalLM, ids: Sequence[int]) -> tuple[str, ...]:
    """Text that each token adds; of a character of several tokens the last one has all."""
    if not ids:
        return ()
    single = model.decode([[index] for index in ids])
    (whole,) = model.decode([ids])
    if "".join(single) == whole:
        return tuple(single)
    found, before = [], ""
    for text in model.decode([ids[: end + 1] for end in range(len(ids))]):
        # An unfinished character is spelled as a mark that the next token replaces.
        settled = text.rstrip("\ufffd") if text != whole else text
        found.append(settled[len(before) :])
        before = settled if len(settled) > len(before) else before
    return tuple(found)


def spelled_ids(model: CausalLM, ids: set[int]) -> dict[int, str]:
    """Text of single tokens; of those that spell nothing their name in the tokenizer."""
    order = sorted(ids)
    texts = model.decode([[index] for index in order]) if order else []
    names = model.tokenizer.convert_ids_to_tokens(order)
    return {index: text or str(name) for index, text, name in zip(order, texts, names, strict=True)}
