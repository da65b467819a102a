"""``fuse decode``: several streams of frozen models write or read texts together."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from tqdm import tqdm  # type: ignore[import-untyped]

from fuse_lightning.cli.decode_options import Parsed, parse, texts_of
from fuse_lightning.cli.decode_print import json_line
from fuse_lightning.cli.decode_results import Results
from fuse_lightning.cli.decode_setup import Variants, names, property_of, streams, variants
from fuse_lightning.cli.decode_unused import check_reading
from fuse_lightning.cli.quiet import keep_lines_apart, quiet_transformers
from fuse_lightning.cli.resume import OVERWRITE, RESUME, go_on_line, take
from fuse_lightning.decoding import ContrastiveDecoder, ScoredText, StreamOptions, open_streams
from fuse_lightning.decoding.contrast import NAMES
from fuse_lightning.decoding.judged_properties import Judge, Label
from fuse_lightning.decoding.prompt_sources import (
    PromptSources,
    first_tokens,
    numbered,
    read_pairs,
)
from fuse_lightning.decoding.properties import Property
from fuse_lightning.decoding.run import CONFIG, DecodingRun, foreign, no_run
from fuse_lightning.decoding.run_identity import (
    content_identity,
    streams_identity,
    texts_identity,
    writing_identity,
)
from fuse_lightning.decoding.summary import TextFigures
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.identity import Identity
from fuse_lightning.utilities.terminal import CLOSED_PIPE, say, visible

EXAMPLE = "fuse decode --a zoo/mood-plain --b zoo/gpt2 --weights 2,-1 --prompts 'a picture of'"


@dataclass
class Request:
    """What a command line asks for.

    Attributes:
        parsed: The command line.
        streams: Options of the streams.
        variants: Contrast and weights; ``None`` where texts are read.
        prompts: Prompts behind which texts are written.
        pairs: Texts to read, with their prompts.
        prop: Property whose rate is counted.
    """

    parsed: Parsed
    streams: list[StreamOptions]
    variants: Variants | None
    prompts: list[str] = field(default_factory=list)
    pairs: list[tuple[str | None, str]] = field(default_factory=list)
    prop: Property | None = None

    @property
    def pair(self) -> tuple[str, str]:
        """Names of the two streams that are compared."""
        return names(self.parsed.settings.compare, "compare")

    @property
    def about(self) -> str:
        """Line that says which models the streams are."""
        return "; ".join(
            f"{name} is {each.description}" for name, each in zip(NAMES, self.streams, strict=False)
        )

    @property
    def size(self) -> int:
        """Number of texts in all."""
        if self.pairs or self.variants is None:
            return len(self.pairs)
        return len(self.prompts) * len(self.variants.weights) * self.parsed.writing.samples

    def identity(self) -> Identity:
        """Options that the texts depend on, without the content of models."""
        found = streams_identity(self.streams, self.pair, self.parsed.settings.top)
        if self.pairs or self.variants is None:
            return {**found, **texts_identity("score", self.pairs)}
        asked = {"prompt_tokens": repr(self.parsed.settings.prompt_tokens)}
        written = writing_identity(
            self.variants.contrast, self.variants.weights, self.parsed.writing
        )
        return {**found, **written, **asked, **texts_identity("prompts", self.prompts)}


def command(words: list[str]) -> None:
    """Runs the command.

    Raises:
        FuseError: If an option, a file or a model is not as it must be.
        SystemExit: With 141, as by a closed pipe, where nobody reads on.
    """
    keep_lines_apart()
    quiet_transformers()
    if not words[1:]:
        raise FuseError(f"nothing is asked for; for example: {EXAMPLE}; --help lists all options")
    rest, resumed = take(words[1:], RESUME)
    overwrite = OVERWRITE in rest
    rest = [word for word in rest if word != OVERWRITE]
    goes_on = Path(resumed[-1]) if resumed else None
    if goes_on is not None:
        if not resumed[-1] or not (goes_on / CONFIG).is_file():
            raise no_run(goes_on)
        if overwrite:
            raise FuseError(f"{RESUME} keeps what {OVERWRITE} would remove; give one of them")
        rest = ["--config", str(goes_on / CONFIG), *rest]
    request = asked(parse(rest))
    out = request.parsed.settings.out
    if request.parsed.settings.stream:
        kept = {RESUME: goes_on is not None, OVERWRITE: overwrite, "--out": out is not None}
        if given := [name for name, value in kept.items() if value]:
            raise FuseError(
                f"--stream keeps nothing, and {given[0]} is given; leave one of them out"
            )
        _stream(request)
        return
    if "\0" in (out or ""):
        raise FuseError(f"--out is {out!r}, which no folder can be called; give another one")
    if goes_on is not None and out is not None:
        raise FuseError(f"{RESUME} goes on in its folder, and --out is {out!r}; leave it out")
    place = goes_on or (Path(out) if out else None)
    with DecodingRun(place, goes_on=goes_on is not None, overwrite=overwrite) as run:
        _decode(request, run)


def asked(parsed: Parsed) -> Request:
    """What a command line asks for, with its prompts or texts read.

    Raises:
        FuseError: If an option is missing, or two of them do not go together.
    """
    settings = parsed.settings
    found = variants(settings)
    opened = streams(parsed, None if found is None else len(found.contrast.weights))
    request = Request(parsed, opened, found, prop=property_of(parsed.property))
    if settings.print < 0:
        raise FuseError(f"--print is {settings.print}; give 0 or more texts")
    if settings.stream and settings.json:
        raise FuseError("--stream and --json are both given; give one of them")
    if request.prop is not None and not (found and found.amounts):
        raise FuseError(
            "a property is given, and its rate is counted in a sweep along a path; give --sweep, "
            "with weights that lie on one line and differ in that of A"
        )
    if settings.at is not None and request.prop is None:
        raise FuseError(
            f"--at is {settings.at:g}, and no property is given whose rate is extrapolated; give "
            "--property.pattern, --property.classifier or --property.judge, or leave --at out"
        )
    if settings.score is not None:
        check_reading(parsed)
        if settings.stream:
            raise FuseError("--score reads texts, and --stream writes one; leave one of them out")
        request.pairs = read_pairs(settings.score)
        return request
    sources = PromptSources(settings.column, settings.split, settings.limit)
    request.prompts = sources.read(texts_of(settings.prompts))
    count = request.size
    if settings.stream and count != 1:
        raise FuseError(
            f"--stream prints one text, and {count} are asked for; give one prompt, one sample and "
            "no sweep, or leave --stream out"
        )
    if settings.stream and parsed.writing.beams > 1:
        raise FuseError(
            f"--stream prints a text as it is written, and --beams is {parsed.writing.beams}, "
            "whose texts are known only whole; leave one of them out"
        )
    return request


def _open(request: Request) -> ContrastiveDecoder:
    settings = request.parsed.settings
    contrast = None if request.variants is None else request.variants.contrast
    decoder = ContrastiveDecoder(
        open_streams(request.streams), contrast, pair=request.pair, top=settings.top
    )
    if settings.prompt_tokens is not None:
        request.prompts = first_tokens(
            request.prompts, decoder.ensemble.model, settings.prompt_tokens
        )
    return decoder


def _stream(request: Request) -> None:
    """Prints one text as it is written."""
    for piece in _open(request).stream(request.prompts[0], request.parsed.writing):
        sys.stdout.write("\n".join(map(visible, piece.split("\n"))))
        sys.stdout.flush()
    sys.stdout.write("\n")


def _decode(request: Request, run: DecodingRun) -> None:
    """Writes or reads the texts that a run lacks, and tells of all."""
    settings = request.parsed.settings
    results = Results(request.pair, settings.sort, settings.print, request.about)
    identity = request.identity()
    run.check(identity)
    decoder = _open(request)
    if request.prop is not None:
        _load(request.prop)
    identity |= content_identity(decoder.ensemble.streams)
    found = run.begin(
        identity, request.parsed.config, lambda texts: _check_found(texts, request, run)
    )
    for text in found:
        results.add(text)
        _tell(text, settings.json)
    try:
        bar = tqdm(
            _texts(request, decoder, results.keys),
            total=request.size,
            initial=len(found),
            unit=" texts",
            leave=False,
            disable=settings.json or not sys.stderr.isatty(),
        )
        for text in bar:
            run.add(text)
            results.add(text)
            _tell(text, settings.json)
    except BaseException as end:
        if run.count and not (isinstance(end, SystemExit) and end.code == CLOSED_PIPE):
            say(go_on_line("fuse decode", run), error=True)
        raise
    results.finish(request.variants, request.prop, settings.at, request.parsed.writing, run.path)
    if not settings.json:
        results.show(run.path)


def _texts(
    request: Request,
    decoder: ContrastiveDecoder,
    done: frozenset[tuple[int, int, tuple[float, ...]]],
) -> Iterator[ScoredText]:
    """Texts that are not done, in batches."""
    if request.variants is not None and not request.pairs:
        weights = request.variants.weights
        yield from decoder.write(
            request.prompts, request.parsed.writing, weights=weights, done=done
        )
        return
    places = [
        (pair, place)
        for pair, place in zip(request.pairs, numbered(request.pairs), strict=True)
        if (*place, ()) not in done
    ]
    pairs = [(prompt or "", text) for (prompt, text), _ in places]
    found = decoder.read(pairs, request.parsed.writing.batch_size)
    for text, (_, (number, sample)) in zip(found, places, strict=True):
        yield replace(text, prompt_number=number, sample=sample)


def _load(prop: Property) -> None:
    """Loads the model of a property, so that a wrong one is found before texts are written."""
    if isinstance(prop, Judge | Label):
        prop.load()


def _check_found(found: Sequence[ScoredText], request: Request, run: DecodingRun) -> None:
    """Checks that texts of an earlier process are those of the run, each once."""
    most = max((text.sample for text in found), default=-1) + 1
    if not request.pairs and most > request.parsed.writing.samples:
        raise FuseError(
            f"--samples is {request.parsed.writing.samples}, and the run in {str(run.path)!r} has "
            f"{most} texts of a prompt already; give as many or more"
        )
    seen = {TextFigures.of(text).key for text in found}
    numbers = {number for number, _ in numbered(request.pairs)}
    prompts = len(numbers) if request.variants is None else len(request.prompts)
    if len(seen) < len(found) or any(number >= prompts for number, _, _ in seen):
        raise foreign(run.path)


def _tell(text: ScoredText, as_json: bool) -> None:
    if as_json and not say(json_line(text)):
        raise SystemExit(CLOSED_PIPE)
