"""Beam search of several streams, by transformers' own ``generate``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import torch
from torch import Tensor
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList

from fuse_lightning.decoding.contrast import Contrast
from fuse_lightning.decoding.ensemble import Ensemble
from fuse_lightning.decoding.forced import read_records
from fuse_lightning.decoding.options import DecodingOptions
from fuse_lightning.decoding.processor import ContrastiveLogitsProcessor
from fuse_lightning.decoding.readers import Row
from fuse_lightning.decoding.scored_text import Ended
from fuse_lightning.decoding.writer import Job, Written
from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.whole_decoding import left_padded, plain_generation


class _Joint(ContrastiveLogitsProcessor):
    """Processor whose readers read all streams, where A is more than a network alone."""

    def own(self, scores: Tensor) -> list[Tensor]:
        """None: what ``generate`` reads is not stream A."""
        return []


class _Known(LogitsProcessor):  # type: ignore[misc]
    """Processor that forbids tokens that not all streams know.

    Args:
        allowed: Whether all know each id, shape (V,).
    """

    def __init__(self, allowed: Tensor) -> None:
        self.allowed = allowed

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores that are minus infinity for unknown tokens."""
        known = torch.zeros(scores.shape[1], dtype=torch.bool)
        known[: len(self.allowed)] = self.allowed[: scores.shape[1]]
        return scores.masked_fill(~to_device(known, scores.device), -torch.inf)


def write_beams(
    ensemble: Ensemble, contrast: Contrast, jobs: Sequence[Job], options: DecodingOptions
) -> list[Written]:
    """Texts of the highest mean scores that a beam search finds.

    The samples of a prompt are its best beams. What the streams say of the tokens is read
    afterwards, in one more forward.

    Args:
        ensemble: The streams.
        contrast: Rule that joins them.
        jobs: The texts to write.
        options: How they are written.
    """
    found: dict[Job, Written] = {}
    rooms = {job: min(options.max_new_tokens, ensemble.room(job.rows)) for job in jobs}
    # One call of generate has one set of weights, and one most number of tokens.
    order = sorted(jobs, key=lambda job: (job.variant, rooms[job], job.prompt))
    for (_, room), group in groupby(order, key=lambda job: (job.variant, rooms[job])):
        some = [*group]
        rule = contrast.with_weights(some[0].weights)
        rows = [*dict.fromkeys(job.rows for job in some)]
        texts = _search(ensemble, rule, rows, room, options)
        ids = [texts[rows.index(job.rows)][job.sample] for job in some]
        begins = [[job.rows[stream] for job in some] for stream in range(len(ensemble.streams))]
        records = read_records(ensemble, begins, ids)
        for job, text, record in zip(some, ids, records, strict=True):
            by_id = bool(text) and text[-1] in ensemble.end_ids
            cut: Ended = "length" if room == options.max_new_tokens else "full"
            ended: Ended = "stop" if by_id else cut
            found[job] = Written(record, len(text) - by_id, ended, by_id)
    return [found[job] for job in jobs]


def _search(
    ensemble: Ensemble,
    contrast: Contrast,
    rows: Sequence[tuple[Row, ...]],
    room: int,
    options: DecodingOptions,
) -> list[list[Row]]:
    """Ids of the best beams behind each prompt, the best first."""
    first, model = ensemble.streams[0], ensemble.model
    ids, mask = left_padded(model, [row[0] for row in rows])
    networks = [stream.network for stream in ensemble.streams]
    plain = first.adapted and not first.layers
    kind, others = (ContrastiveLogitsProcessor, 1) if plain else (_Joint, 0)
    processor = kind(
        networks[others:],
        contrast,
        attention_mask=mask,
        prompts=[[row[stream] for row in rows] for stream in range(others, len(networks))],
        temperature=first.temperature,
    )
    with plain_generation(model.module):
        texts = model.module.generate(
            input_ids=ids,
            attention_mask=mask.long(),
            generation_config=GenerationConfig(
                max_new_tokens=room,
                num_beams=options.beams,
                num_return_sequences=options.samples,
                do_sample=False,
                eos_token_id=sorted(ensemble.end_ids) or None,
                pad_token_id=model.pad_id,
            ),
            logits_processor=LogitsProcessorList([_Known(ensemble.allowed), processor]),
        )
    written = [_cut(text, ensemble) for text in texts[:, ids.shape[1] :].tolist()]
    size = options.samples
    return [written[start : start + size] for start in range(0, len(written), size)]


def _cut(text: list[int], ensemble: Ensemble) -> Row:
    """Ids up to the first that ends a text; padding stands behind it."""
    end = next((at for at, index in enumerate(text) if index in ensemble.end_ids), len(text))
    return tuple(text[: end + 1])
