"""Teacher forcing: what streams say of given texts, in one forward of each."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor

from fuse_lightning.decoding.ensemble import Ensemble
from fuse_lightning.decoding.reader import adapters_off
from fuse_lightning.decoding.readers import Row, furthest
from fuse_lightning.decoding.recording import Record
from fuse_lightning.decoding.stream import Stream
from fuse_lightning.engine.devices import gather_at, to_device
from fuse_lightning.engine.token_batch import pad
from fuse_lightning.errors import FuseError

PART = 256
"""Tokens whose distributions are compared at once: more would only take memory."""


def given_rows(
    ensemble: Ensemble, texts: Sequence[tuple[str, str]], first: int = 0
) -> tuple[list[list[Row]], list[Row]]:
    """Ids of given texts and of what stands before them.

    Args:
        ensemble: The streams.
        texts: A prompt, which may be empty, and the text behind it, for each of T texts.
        first: Number of the first text, in messages.

    Returns:
        For each stream the ids before each text, and the ids of each text.

    Raises:
        FuseError: If a text is too long.
    """
    prompts, behind = zip(*texts, strict=True)
    ids = ensemble.streams[0].behind(prompts, behind)
    rows = [stream.rows(prompts) for stream in ensemble.streams]
    for number, begins in enumerate(zip(*rows, strict=True)):
        if ensemble.room(begins) < len(ids[number]):
            raise FuseError(
                f"text {first + number} ({behind[number][:40]!r}) has {len(ids[number])} "
                f"tokens, and {ensemble.room(begins)} fit behind its prompt; cut it"
            )
    return rows, ids


@torch.no_grad()
def read_records(
    ensemble: Ensemble, rows: Sequence[Sequence[Row]], texts: Sequence[Row]
) -> list[Record]:
    """Records of given texts.

    Args:
        ensemble: The streams.
        rows: For each stream the ids before each text.
        texts: Ids of each text.
    """
    recording = ensemble.recording(len(texts))
    of = [number for number, text in enumerate(texts) for _ in text]
    tokens = [token for text in texts for token in text]
    if not tokens:
        return recording.records
    logits = [
        forced_logits(stream, begins, texts)
        for stream, begins in zip(ensemble.streams, rows, strict=True)
    ]
    for start in range(0, len(tokens), PART):
        part = slice(start, start + PART)
        log_probs = ensemble.log_probs([each[part] for each in logits])
        recording.add(of[part], log_probs, tokens[part])
    return recording.records


def forced_logits(stream: Stream, begins: Sequence[Row], texts: Sequence[Row]) -> Tensor:
    """Logits by one stream of all tokens of the texts, one text after another, shape (M, W).

    Args:
        stream: The stream.
        begins: Ids before each text.
        texts: Ids of each text.
    """
    model = stream.model
    wholes = [(*begin, *text) for begin, text in zip(begins, texts, strict=True)]
    batch = pad([whole[:-1] or whole for whole in wholes], None, model.pad_id)
    column = torch.arange(batch.ids.shape[1])
    first = torch.tensor([len(begin) - 1 for begin in begins])[:, None]
    count = torch.tensor([len(text) for text in texts])[:, None]
    # The logits of a token stand at the token before it.
    places = (column >= first) & (column < first + count)
    ids, mask = to_device(batch.ids, model.device), to_device(batch.mask, model.device)
    with nullcontext() if stream.adapted else adapters_off(model.module):
        logits = model.logits_at(places, ids, mask)
        if stream.layers:
            logits = _early(stream, places, ids, mask, logits)
    return logits / stream.temperature


def _early(stream: Stream, places: Tensor, ids: Tensor, mask: Tensor, last: Tensor) -> Tensor:
    """Logits by the early layers of a stream, shape (M, W)."""
    model = stream.model
    body = model.module.base_model
    output = body(input_ids=ids, attention_mask=mask.long(), output_hidden_states=True)
    hidden = torch.stack(
        [gather_at(output.hidden_states[layer], places) for layer in stream.layers], 1
    )
    early: Tensor = model.module.get_output_embeddings()(hidden).float()
    return furthest(early, last)
