"""Texts that two models read for a survey of tokens."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from fuse_lightning.decoding.ensemble import Ensemble
from fuse_lightning.decoding.forced import forced_logits
from fuse_lightning.decoding.readers import Row
from fuse_lightning.diffing.token_survey import TokenSurvey
from fuse_lightning.errors import FuseError

GivenText = tuple[str, str]
"""A prompt, which may be empty, and the text behind it."""
CACHED = 2**17
"""Numbers of one stream that the caches of a processor hold with what is made of them."""
FEWEST = 4
"""Fewest texts that can be mined: two for each half."""


def two_halves(texts: Sequence[GivenText], seed: int) -> tuple[list[int], list[int]]:
    """Numbers of the texts of two halves, which do not depend on the order of the texts.

    Args:
        texts: The texts. One that comes several times counts once, so that both halves share none.
        seed: Seed of the split.

    Returns:
        The half that chooses, and the half that measures.

    Raises:
        FuseError: If there are fewer than four distinct texts.

    >>> texts = [("", "a"), ("", "b"), ("", "c"), ("", "d"), ("", "a")]
    >>> first, second = two_halves(texts, seed=0)
    >>> len(first), len(second), sorted(first + second)
    (2, 2, [0, 1, 2, 3])
    """
    first = {text: number for number, text in reversed([*enumerate(texts)])}
    if len(first) < FEWEST:
        raise FuseError(
            f"there are {len(first)} different texts with tokens to mine; give at least {FEWEST}: "
            "half of the texts choose tokens, and the other half measures them"
        )

    def drawn(text: GivenText) -> bytes:
        return hashlib.blake2b(repr((seed, *text)).encode()).digest()

    order = [first[text] for text in sorted(first, key=drawn)]
    half = len(order) // 2
    return order[:half], order[half:]


@torch.no_grad()
def survey_texts(
    ensemble: Ensemble,
    rows: Sequence[Sequence[Row]],
    texts: Sequence[Row],
    survey: TokenSurvey,
    batch_tokens: int,
) -> None:
    """Takes texts into account in a survey, with one forward of each of the two models.

    Args:
        ensemble: The streams, whose pair is A and B of the survey.
        rows: For each stream the ids before each text.
        texts: Ids of each text.
        survey: The survey.
        batch_tokens: Most tokens that are read at once, padding included, prompts not. One longer
            text is read alone.
    """
    pair = [ensemble.names.index(name) for name in ensemble.pair]
    for batch in _batches(texts, batch_tokens):
        some = [texts[number] for number in batch]
        logits = [
            forced_logits(ensemble.streams[stream], [rows[stream][each] for each in batch], some)
            for stream in pair
        ]
        start = 0
        for number in batch:
            end = start + len(texts[number])
            survey.add(number, _parts(ensemble, [each[start:end] for each in logits]))
            start = end


def _batches(ids: Sequence[Row], most: int) -> Iterator[list[int]]:
    """Numbers of texts that are read together: those of similar length."""
    batch: list[int] = []
    for number in sorted(range(len(ids)), key=lambda number: len(ids[number])):
        if batch and (len(batch) + 1) * len(ids[number]) > most:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def _parts(ensemble: Ensemble, logits: Sequence[Tensor]) -> Iterator[Tensor]:
    """Log-probabilities of some positions of a text after others, each of shape (2, n, V)."""
    count, width = logits[0].shape
    on_cpu = logits[0].device.type == "cpu"
    size = max(1, CACHED // width) if on_cpu else count
    for start in range(0, count, size):
        yield ensemble.log_probs([each[start : start + size] for each in logits])
