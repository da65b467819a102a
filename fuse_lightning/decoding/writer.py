"""Writer of texts by several streams: greedy search and sampling."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from fuse_lightning.decoding.contrast import Contrast
from fuse_lightning.decoding.ensemble import Ensemble
from fuse_lightning.decoding.options import DecodingOptions
from fuse_lightning.decoding.readers import Row
from fuse_lightning.decoding.recording import Record, Recording
from fuse_lightning.decoding.scored_text import Ended
from fuse_lightning.engine.devices import to_device
from fuse_lightning.engine.writing import Limits, Writing
from fuse_lightning.models.stop_texts import StopTexts

APART = 1_000_000
"""Distance of the sample numbers of two weights, so that their random numbers are independent."""
STAY = 0.75
"""Share of a batch that must go on; below it ended texts leave, which copies keys and values."""

HELD = 8
"""Positions whose keys and values are kept, for each whose logits are computed at once."""


@dataclass(frozen=True)
class Job:
    """One text to write.

    Attributes:
        prompt: Number of its prompt.
        sample: Its number among the samples of the prompt.
        variant: Number of its weights among several.
        noise: Number of the random numbers that it shares with no other prompt.
        weights: Weight of each stream.
        rows: For each stream the ids before the text.
    """

    prompt: int
    sample: int
    variant: int
    noise: int
    weights: tuple[float, ...]
    rows: tuple[Row, ...]


class Written(NamedTuple):
    """One text that was written.

    Attributes:
        record: What was recorded of its tokens.
        kept: How many of them stand before the stop.
        ended: Reason why it ended.
        by_id: Whether a stop id ended it.
    """

    record: Record
    kept: int
    ended: Ended
    by_id: bool


class Writer:
    """Writer of a batch of texts.

    Args:
        ensemble: The streams.
        contrast: Rule that joins them.
        jobs: The texts to write.
        options: How they are written.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        contrast: Contrast,
        jobs: Sequence[Job],
        options: DecodingOptions,
    ) -> None:
        self.ensemble = ensemble
        self.contrast = contrast
        self.jobs = jobs
        self.rooms = [ensemble.room(job.rows) for job in jobs]
        stop = StopTexts(ensemble.model, options.stop) if options.stop else None
        # How much room there is differs by stream, so it is watched here.
        most = min(options.max_new_tokens, max(self.rooms) + 1)
        limits = Limits(most, sys.maxsize, ensemble.end_ids, stop)
        self.writing = Writing(
            [job.rows[0] for job in jobs],
            limits,
            options.sampling,
            len(ensemble.allowed),
            options.seed,
            [(job.noise, job.sample + APART * job.variant) for job in jobs],
        )
        self.recording: Recording = ensemble.recording(len(jobs))

    def write(self) -> list[Written]:
        """Writes all texts, in smaller batches where memory runs out."""
        longest = [max(map(len, job.rows)) for job in self.jobs]
        rooms = [min(room, self.writing.limits.new) for room in self.rooms]
        lengths = [
            len(self.ensemble.streams) * (length + room)
            for length, room in zip(longest, rooms, strict=True)
        ]

        def together(chosen: slice) -> None:
            for _ in self.steps(range(len(self.jobs))[chosen]):
                pass

        self.ensemble.model.budget.run(lengths, together, share=HELD, inner=True)
        return [self.found(number) for number in range(len(self.jobs))]

    def found(self, number: int) -> Written:
        """A text that has ended."""
        text = self.writing.texts[number]
        by_id = bool(text.ids) and text.ids[-1] in self.writing.limits.ids
        return Written(self.recording.records[number], text.kept, text.ended or "length", by_id)

    @torch.no_grad()
    def steps(self, numbers: Sequence[int]) -> Iterator[None]:
        """Writes some texts together, and pauses behind each token."""
        for number in numbers:
            # Memory may have run out in the middle of an earlier try.
            self.writing.restart(number, len(self.jobs[number].rows[0]))
            self.recording.restart(number)
        texts = self.writing.texts
        going = [*numbers]
        streams = range(len(self.ensemble.streams))
        readers = self.ensemble.readers(
            [[self.jobs[number].rows[stream] for number in going] for stream in streams]
        )
        weights = torch.tensor([self.jobs[number].weights for number in going]).T
        while True:
            log_probs = self.ensemble.log_probs(readers.logits())
            weights = to_device(weights, log_probs.device)
            scores = self.contrast.scores(log_probs, weights)
            if not self.ensemble.allowed.all():
                # Where all weights are below 0, what no stream knows would be the best.
                scores = scores.masked_fill(torch.isneginf(log_probs).all(0), -torch.inf)
            self._choose(going, scores, log_probs)
            yield
            alive = [at for at, number in enumerate(going) if texts[number].ended is None]
            if not alive:
                return
            if len(alive) <= STAY * len(going):
                there = torch.tensor(alive)
                readers.select(there)
                weights = weights[:, to_device(there, weights.device)]
                going = [going[at] for at in alive]
            readers.step(torch.tensor([texts[number].ids[-1] for number in going]))

    def _choose(self, going: Sequence[int], scores: torch.Tensor, log_probs: torch.Tensor) -> None:
        """Writes a token of each text that goes on, and records it."""
        texts = self.writing.texts
        alive = [at for at, number in enumerate(going) if texts[number].ended is None]
        self.writing.write(going, scores)
        numbers = [going[at] for at in alive]
        if len(alive) < len(going):
            log_probs = log_probs[:, torch.tensor(alive, device=log_probs.device)]
        self.recording.add(numbers, log_probs, [texts[number].ids[-1] for number in numbers])
        for number in numbers:
            text = texts[number]
            if text.ended is None and len(text.ids) >= self.rooms[number]:
                text.ended, text.kept = "full", len(text.ids)
