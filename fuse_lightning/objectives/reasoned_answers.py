"""Tokens of a reasoning term's rows that count, and what they change as labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.focus import Focus
from fuse_lightning.engine.likelihood import focused_nll
from fuse_lightning.engine.row_cache import RowCache
from fuse_lightning.engine.token_batch import TokenBatch
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives.fluency import label_change
from fuse_lightning.objectives.layout import ANSWER, PROMPT
from fuse_lightning.objectives.questions import Questions
from fuse_lightning.objectives.reading import Reading


def answer_focus(
    batch: Sequence[Questions], reading: Reading, temperature: float, *, labels: bool
) -> Focus:
    """Tokens of the right answers that count: those that tell labels apart, or all.

    Args:
        batch: Questions of each target.
        reading: R rows with right answers.
        temperature: Divisor of the logits.
        labels: Whether labels of closed sets are compared with each other alone.
    """
    answer = reading.pieces[ANSWER]
    places, of = answer.clone(), torch.full(answer.shape, -1)
    begins = answer.int().argmax(1).tolist()
    sets: list[Tensor] = []
    offsets: dict[int, int] = {}
    pairs = zip(reading.owner.tolist(), reading.example.tolist(), begins, strict=True)
    for row, (owner, example, begin) in enumerate(pairs):
        questions = batch[owner]
        if not labels or questions.branches is None:
            continue
        if owner not in offsets:
            offsets[owner] = len(sets)
            sets += questions.sets
        places[row] = False
        for place, among in questions.branches[example]:
            places[row, begin + place] = True
            of[row, begin + place] = offsets[owner] + among
    return Focus(places, sets, of, temperature)


def focused(
    model: CausalLM,
    reading: Reading,
    asked: Tensor,
    focus: Focus,
    embeds: Tensor | None,
    cache: RowCache | None,
) -> tuple[Tensor, Tensor]:
    """-log P of some tokens, and whether all tokens in focus are the likeliest.

    Args:
        model: The model.
        reading: R rows.
        asked: True for the tokens, shape (R, T).
        focus: Which of them are compared with which others.
        embeds: Input embeddings in place of those of the ids, shape (R, T, d).
        cache: Keys and values of the chains, if they are known.

    Returns:
        Shapes (R, T), nats, and (R,).
    """
    nll, likeliest = focused_nll(
        *(model, reading.rows.ids, asked, focus, embeds, reading.fixed, cache, reading.alike)
    )
    places = to_device(focus.places, likeliest.device)
    return nll, (likeliest & places).sum(1) == places.sum(1)


@torch.no_grad()
def chances(
    model: CausalLM, batch: Sequence[Questions], reading: Reading, cache: RowCache | None
) -> dict[int, tuple[bool | None, float]]:
    """Whether the right label is the likeliest one, and the probability of the right answer.

    Args:
        model: The model.
        batch: Questions of each target.
        reading: R rows with right answers.
        cache: Keys and values of the chains, if they are known.

    Returns:
        Both by number of the row, for rows that the model can read; the first is ``None`` where
        there are no labels to compare, and the second is among labels where there are some.
    """
    fits = (reading.lengths <= model.max_tokens).nonzero().squeeze(1)
    if not len(fits):
        return {}
    reading = reading[fits]
    focus = answer_focus(batch, reading, 1.0, labels=True)
    nll, likeliest = focused(model, reading, focus.places, focus, None, cache)
    columns = likeliest.tolist(), (focus.of >= 0).any(1).tolist(), (-nll.sum(1)).exp().tolist()
    told = zip(fits.tolist(), *columns, strict=True)
    return {row: (right if closed else None, chance) for row, right, closed, chance in told}


@torch.no_grad()
def fluency_label_change(model: CausalLM, reading: Reading, *, perplexity: bool) -> Tensor:
    """Change of the fluency of prompts when one token is replaced as a label.

    Args:
        model: The model, which reads the rows.
        reading: R rows; nothing behind their prompts is read.
        perplexity: Whether the fluency is a perplexity, in place of the mean -log P.

    Returns:
        At the columns of each prompt, shape (R, P, V), float32; lower is better.
    """
    end = int((reading.prompt * torch.arange(1, reading.prompt.shape[1] + 1)).max())
    rows, prompt = reading.rows, reading.prompt[:, :end]
    ids, mask = rows.ids[:, :end], rows.mask[:, :end]
    part = replace(
        reading, rows=TokenBatch(ids, mask, rows.spans[:, :end]), pieces={PROMPT: prompt}
    )
    change = label_change(model, part)
    if perplexity:
        nll = model.token_nll(ids, prompt)
        counts = to_device(prompt.sum(1).clamp(min=1), nll.device)
        change = change * to_device((nll.sum(1) / counts).exp(), change.device)[:, None, None]
    return change
