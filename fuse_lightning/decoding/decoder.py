"""Contrastive decoder: several streams write texts together, or read given ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from fuse_lightning.decoding.beams import write_beams
from fuse_lightning.decoding.contrast import Contrast
from fuse_lightning.decoding.ensemble import Ensemble
from fuse_lightning.decoding.forced import given_rows, read_records
from fuse_lightning.decoding.options import DecodingOptions
from fuse_lightning.decoding.scored_text import ScoredText
from fuse_lightning.decoding.stream import Stream
from fuse_lightning.decoding.writer import Job, Writer, Written
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM

Weights = tuple[float, ...]
Key = tuple[int, int, Weights]
"""Numbers of prompt and sample, and the weights, which name one text."""


class ContrastiveDecoder:
    """Decoder of several streams of frozen models.

    Args:
        streams: The streams A, B and so on, whose models have one tokenizer. A model alone is a
            stream without prefix. Models that are not loaded yet are loaded.
        contrast: Rule that joins them; without one texts can only be read, not written.
        pair: Names of the two streams whose divergences are recorded.
        top: How many of the likeliest tokens at each place are recorded; 0 for none.

    Raises:
        FuseError: If the tokenizers differ, or there is not one weight for each stream.

    Example:
        >>> from fuse_lightning.models import CausalLM
        >>> model = CausalLM("zoo/gpt2")
        >>> streams = [Stream(model, prefix="a lovely "), Stream(model)]
        >>> decoder = ContrastiveDecoder(streams, Contrast((2, -1), alpha=0.1))
        >>> (text,) = decoder.write(["photo of"], DecodingOptions(temperature=0, max_new_tokens=4))
        >>> len(text.tokens), text.divergence("kl") > 0
        (4, True)
    """

    def __init__(
        self,
        streams: Sequence[Stream | CausalLM],
        contrast: Contrast | None = None,
        *,
        pair: tuple[str, str] = ("A", "B"),
        top: int = 5,
    ) -> None:
        given = [each if isinstance(each, Stream) else Stream(each) for each in streams]
        if contrast is not None:
            _check_weights(len(given), contrast.weights)
        self.contrast = contrast
        self.ensemble = Ensemble(given, pair, top)

    def write(
        self,
        prompts: Sequence[str],
        options: DecodingOptions | None = None,
        *,
        weights: Sequence[Weights] | None = None,
        numbers: Sequence[int] | None = None,
        done: frozenset[Key] = frozenset(),
        known: frozenset[Key] = frozenset(),
    ) -> Iterator[ScoredText]:
        """Texts that the streams write behind prompts, batch by batch.

        A text depends on its prompt, the weights, the seed, and the numbers of prompt, sample and
        weights, and on nothing else.

        Args:
            prompts: The prompts.
            options: How texts are written.
            weights: Several weights of the streams, with each of which texts are written; by
                default those of the contrast alone. Those of the contrast still name the streams of
                mask, gate and fallback.
            numbers: Number of each prompt's random numbers, 0 or more; by default its place.
                Prompts of equal numbers share them.
            done: Texts that are not written again.
            known: Texts that are there already and are not given again. The batches are those of a
                call without them, of which those with nothing new are left out. So the other texts
                have the same numbers to the last digit, which a batch may change.

        Yields:
            Each batch's texts in order.

        Raises:
            FuseError: If there is no contrast, or a prompt is too long.
        """
        options = options or DecodingOptions()
        contrast = self._contrast()
        variants = (
            [contrast.weights] if weights is None else [tuple(map(float, w)) for w in weights]
        )
        for each in variants:
            _check_weights(len(self.ensemble.streams), each)
            contrast.with_weights(each)
        found = self._jobs(prompts, variants, options, numbers)
        jobs = [job for job in found if _key(job) not in done]
        for batch in self._batches(jobs, options.batch_size):
            if all(_key(job) in known for job in batch):
                continue
            if options.beams > 1:
                written = write_beams(self.ensemble, contrast, batch, options)
            else:
                written = Writer(self.ensemble, contrast, batch, options).write()
            for job, text in zip(batch, written, strict=True):
                if _key(job) not in known:
                    yield self._scored(prompts[job.prompt], job, text)

    def stream(self, prompt: str, options: DecodingOptions | None = None) -> Iterator[str]:
        """One text behind a prompt, piece by piece as it is written.

        Args:
            prompt: The prompt.
            options: How the text is written: one sample, and no beams.

        Raises:
            FuseError: If there is no contrast, the prompt is too long, or beams are asked for.
        """
        options = options or DecodingOptions()
        if options.beams > 1:
            raise FuseError(
                f"beams is {options.beams}, and beams are known only whole; set it to 1"
            )
        contrast = self._contrast()
        job = self._jobs([prompt], [contrast.weights], options)[0]
        writer = Writer(self.ensemble, contrast, [job], options)
        told = ""
        text = writer.writing.texts[0]
        for _ in writer.steps([0]):
            # A stop may begin in a token that is written already.
            count = len(text.ids) if text.ended is None else text.kept
            (spelled,) = self.ensemble.model.decode([text.ids[:count]])
            settled = spelled if text.ended else spelled.rstrip("\ufffd")
            if len(settled) > len(told):
                yield settled[len(told) :]
                told = settled

    def read(self, texts: Sequence[tuple[str, str]], batch_size: int = 16) -> Iterator[ScoredText]:
        """Given texts, read by all streams in one forward each.

        Args:
            texts: A prompt, which may be empty, and the text behind it, for each.
            batch_size: Most texts that are read together.

        Yields:
            The texts in order.

        Raises:
            FuseError: If a text is too long; then none is read.
        """
        ensemble = self.ensemble
        starts = range(0, len(texts), batch_size)
        given = [given_rows(ensemble, texts[start : start + batch_size], start) for start in starts]
        for start, (rows, ids) in zip(starts, given, strict=True):
            some = texts[start : start + batch_size]
            for number, record in enumerate(read_records(ensemble, rows, ids)):
                yield ScoredText(
                    prompt=some[number][0],
                    text=some[number][1],
                    tokens=record.tokens(ensemble.model, ensemble.names),
                    pair=ensemble.pair,
                    prompt_number=start + number,
                )

    def _contrast(self) -> Contrast:
        if self.contrast is None:
            raise FuseError("the decoder has no contrast, so that it can only read; give one")
        return self.contrast

    def _jobs(
        self,
        prompts: Sequence[str],
        variants: Sequence[Weights],
        options: DecodingOptions,
        numbers: Sequence[int] | None = None,
    ) -> list[Job]:
        """All texts to write, once each prompt is known to leave room for one."""
        rows = [stream.rows(prompts) for stream in self.ensemble.streams] if prompts else []
        begins = [*zip(*rows, strict=True)]
        for number, each in enumerate(begins):
            if self.ensemble.room(each) < 1:
                raise FuseError(
                    f"prompt {number} ({prompts[number][:40]!r}) has {max(map(len, each))} tokens, "
                    "which leaves no room for a text; give a shorter one"
                )
        noise = range(len(prompts)) if numbers is None else numbers
        return [
            Job(prompt, sample, variant, noise[prompt], weights, begins[prompt])
            for variant, weights in enumerate(variants)
            for prompt in range(len(prompts))
            for sample in range(options.samples)
        ]

    def _batches(self, jobs: Sequence[Job], size: int) -> Iterator[list[Job]]:
        """Batches of texts whose prompts are of similar length.

        Rows of a model that cannot read padding on the left have one length in a batch.
        """
        fixed = [not stream.model.pads_left for stream in self.ensemble.streams]
        groups = defaultdict(list)
        for job in jobs:
            alike = (len(row) for row, one in zip(job.rows, fixed, strict=True) if one)
            groups[tuple(alike)].append(job)
        for group in groups.values():
            group.sort(key=lambda job: (max(map(len, job.rows)), job.prompt))
            for start in range(0, len(group), size):
                yield group[start : start + size]

    def _scored(self, prompt: str, job: Job, written: Written) -> ScoredText:
        ensemble = self.ensemble
        (text,) = ensemble.model.decode([written.record.ids[: written.kept]])
        return ScoredText(
            prompt=prompt,
            text=text,
            # The end token is one that was written; what a stop text spells is none of the text.
            tokens=written.record.tokens(
                ensemble.model, ensemble.names, written.kept + written.by_id
            ),
            pair=ensemble.pair,
            prompt_number=job.prompt,
            sample=job.sample,
            weights=dict(zip(ensemble.names, job.weights, strict=True)),
            ended=written.ended,
        )


def _key(job: Job) -> Key:
    return job.prompt, job.sample, job.weights


def _check_weights(streams: int, weights: Weights) -> None:
    if len(weights) != streams:
        raise FuseError(
            f"there are {streams} streams and {len(weights)} weights {weights}; give one weight "
            "for each stream"
        )
