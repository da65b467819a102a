"""Likelihoods of answers under an encoder-decoder; each distinct text is encoded once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.network import Network
from fuse_lightning.engine.parts import PADDING
from fuse_lightning.engine.prefixes import Row
from fuse_lightning.engine.token_batch import pad

Pair = tuple[Row, Row]
"""Ids of a text and of an answer."""


class AnsweringNetwork(Network, Protocol):
    """Protocol of a loaded model whose encoder reads texts and whose decoder writes answers."""

    def encoder_states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """States of N encoded texts, shape (N, T, d)."""

    def decoder_logits(self, states: Tensor, seen: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
        """Next-token logits of N decoder rows, shape (N, L, W)."""


class _Line(NamedTuple):
    """One row of the decoder.

    Attributes:
        text: Number of the text that it answers.
        ids: What the decoder reads.
        pairs: Numbers of the pairs whose answers it tells of.
    """

    text: int
    ids: Row
    pairs: list[int]


def answer_nll(
    model: AnsweringNetwork, texts: Sequence[Row], answers: Sequence[Row], start: Row
) -> Tensor:
    """-log P(answer | text), summed over the tokens of each answer (nats).

    Answers of one text that the decoder begins alike share its rows: those of one token each cost
    one position of the decoder, however many there are.

    Args:
        model: The model.
        texts: Ids of N texts for the encoder.
        answers: Ids of N answers, of one token at least.
        start: Ids that the decoder reads before an answer, at least one; they are not scored.

    Returns:
        Shape (N,), float32, on the model's device; lower is likelier.
    """
    pairs: dict[Pair, int] = {}
    asked = [pairs.setdefault(pair, len(pairs)) for pair in zip(texts, answers, strict=True)]
    distinct = sorted(dict.fromkeys(text for text, _ in pairs), key=len)
    lines = _lines(pairs, {text: number for number, text in enumerate(distinct)}, start)
    wanted = [answer for _, answer in pairs]
    there = partial(to_device, device=model.device)
    found: list[Tensor] = []

    def encode(chosen: slice) -> None:
        first = chosen.start
        batch = pad(distinct[chosen], None, model.pad_id)
        states = model.encoder_states(there(batch.ids), there(batch.mask))
        rows = [line for number in range(len(batch.ids)) for line in lines[first + number]]
        rows.sort(key=lambda line: (len(distinct[line.text]), len(line.ids)))

        def decode(chosen: slice) -> None:
            some = rows[chosen]
            of = torch.tensor([line.text - first for line in some])
            seen = batch.mask[of]
            width = int(seen.sum(1).max())
            read = pad([line.ids for line in some], None, model.pad_id)
            logits = model.decoder_logits(
                states[to_device(of, states.device), :width],
                there(seen[:, :width]),
                there(read.ids),
                there(read.mask),
            )
            # Set, not added: where memory runs out, rows are computed again.
            numbers, nll = _told(logits, some, wanted, len(start))
            if not found:
                found.append(nll.new_zeros(len(pairs)))
            found[0][there(numbers)] = nll

        sizes = [len(distinct[line.text]) + len(line.ids) for line in rows]
        model.budget.run(sizes, decode, PADDING)

    model.budget.run([len(text) for text in distinct], encode, PADDING, inner=True)
    return found[0][there(torch.tensor(asked))] if asked else torch.zeros(0, device=model.device)


def _lines(pairs: dict[Pair, int], number: dict[Row, int], start: Row) -> list[list[_Line]]:
    """Rows of the decoder for each text: none of them begins another.

    Args:
        pairs: Numbers of distinct pairs.
        number: Numbers of distinct texts.
        start: Ids before every answer.
    """
    # The last token of an answer is predicted, never read.
    inputs: list[dict[Row, list[int]]] = [defaultdict(list) for _ in number]
    for (text, answer), pair in pairs.items():
        inputs[number[text]][(*start, *answer[:-1])].append(pair)
    return [
        [_Line(text, ids, told) for ids, told in _merged(rows).items()]
        for text, rows in enumerate(inputs)
    ]


def _merged(rows: dict[Row, list[int]]) -> dict[Row, list[int]]:
    """Rows with what is asked of them, each of which also stands for those that begin it.

    >>> _merged({(0,): [1], (0, 5): [2], (0, 6): [3]})
    {(0, 6): [3], (0, 5): [2, 1]}
    """
    found: dict[Row, list[int]] = {}
    longer = None
    # In this order a row comes right behind one that it begins, if there is any.
    for row in sorted(rows, reverse=True):
        if longer is not None and longer[: len(row)] == row:
            found[longer] += rows[row]
        else:
            found[row], longer = [*rows[row]], row
    return found


def _told(
    logits: Tensor, lines: Sequence[_Line], answers: Sequence[Row], before: int
) -> tuple[Tensor, Tensor]:
    """-log P of the answers that decoder rows tell of.

    Args:
        logits: Shape (N, L, W).
        lines: The N rows.
        answers: Ids of the answer of each pair.
        before: Ids of a row before its answer.

    Returns:
        Numbers of pairs, and the sums over their answers' tokens, both shape (P,).
    """
    cells = [
        (place, row, before - 1 + column, token)
        for place, (row, pair) in enumerate(
            (row, pair) for row, line in enumerate(lines) for pair in line.pairs
        )
        for column, token in enumerate(answers[pair])
    ]
    numbers = torch.tensor([pair for line in lines for pair in line.pairs])
    place, row, column, token = to_device(torch.tensor(cells).T, logits.device)
    nll = logits.logsumexp(-1)[row, column] - logits[row, column, token]
    return numbers, nll.new_zeros(len(numbers)).index_add(0, place, nll)
