"""``fuse diff``: what changed between two models, as one page."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm  # type: ignore[import-untyped]

from fuse_lightning.cli.decode_setup import layers_of
from fuse_lightning.cli.diff_options import DiffSettings, parse
from fuse_lightning.cli.diff_results import tell, write
from fuse_lightning.cli.quiet import keep_lines_apart, quiet_transformers
from fuse_lightning.cli.resume import RESUME, go_on_line, take
from fuse_lightning.decoding import ContrastiveDecoder, ScoredText, StreamOptions, open_streams
from fuse_lightning.decoding.prompt_sources import PromptSources, read_pairs
from fuse_lightning.decoding.run import CONFIG, DecodingRun, foreign, no_run
from fuse_lightning.decoding.run_identity import (
    content_identity,
    streams_identity,
    texts_identity,
)
from fuse_lightning.diffing.answer_tables import read_answers
from fuse_lightning.diffing.compare import belong
from fuse_lightning.diffing.difference import (
    Difference,
    DiffOptions,
    check_given,
    check_prompts,
    differ,
    differ_answers,
)
from fuse_lightning.diffing.neutral import neutral_prompts
from fuse_lightning.diffing.phases import Phase, Phases
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.identity import Identity
from fuse_lightning.utilities.silence import lightning_at_rest
from fuse_lightning.utilities.terminal import say

FOLDERS = Path("logs") / "diff"
"""Where the numbered folders of comparisons are made."""
MAY_CHANGE = ("alpha", "batch_size", "search")
"""Options of a comparison on which no text depends."""
TOP = 5
"""How many of the likeliest tokens are kept at each place of a text."""
UNITS: dict[Phase, str] = {"texts": " texts", "tokens": " texts", "prompts": " steps"}


def command(words: Sequence[str]) -> None:
    """Runs the command, which takes the two models without option names.

    Raises:
        FuseError: If an option, a file or a model is not as it must be.
    """
    keep_lines_apart()
    quiet_transformers()
    rest, resumed = take([*words[1:]], RESUME)
    goes_on = Path(resumed[-1]) if resumed else None
    if goes_on is not None and (not resumed[-1] or not (goes_on / CONFIG).is_file()):
        raise no_run(goes_on, FOLDERS)
    parsed = parse(rest, None if goes_on is None else str(goes_on / CONFIG))
    settings, options = parsed.settings, parsed.options
    if goes_on is not None:
        _check_resumed(settings)
    missing = [name for name, each in zip("AB", parsed.streams, strict=True) if not each["model"]]
    if settings.answers is None and missing:
        raise FuseError(
            f"model {missing[0]} is missing; give two models, such as fuse diff zoo/mood-plain "
            "zoo/gpt2, or --answers with a table"
        )
    if settings.answers is not None:
        others = (parsed.streams[0]["model"], settings.prompts, settings.texts)
        names_of = ("a model", "--prompts", "--texts")
        if wrong := [name for name, value in zip(names_of, others, strict=True) if value]:
            raise FuseError(
                f"--answers is {settings.answers!r}, a table of texts that are there already, and "
                f"{wrong[0]} is given, which is for new ones; leave one of them out"
            )
        names = "answer_a", "answer_b"
        ask: _Answers | _Models = _Answers(settings.answers)
    else:
        pair = [
            StreamOptions(**{**each, "layers": layers_of(each["layers"])})
            for each in parsed.streams
        ]
        names = (pair[0].description, pair[1].description)
        shown = not settings.json and sys.stderr.isatty()
        ask = _Models(pair, settings, parsed.config, shown=shown)
    place = goes_on or (Path(settings.out) if settings.out else None)
    with DecodingRun(
        place, goes_on=goes_on is not None, overwrite=settings.overwrite, parent=FOLDERS
    ) as run:
        with _told(run):
            difference = ask(options, run)
            write(difference, run, names)
        tell(difference, run.path, as_json=settings.json)


def _check_resumed(settings: DiffSettings) -> None:
    """Checks that nothing is given that a run which goes on cannot have.

    Raises:
        FuseError: If something is.
    """
    if settings.overwrite:
        raise FuseError(f"{RESUME} keeps what --overwrite would remove; give one of them")
    if settings.out is not None:
        raise FuseError(
            f"{RESUME} goes on in its folder, and --out is {settings.out!r}; leave it out"
        )
    if settings.answers is not None:
        raise FuseError(
            f"{RESUME} goes on with texts that two models write, and --answers is "
            f"{settings.answers!r}, a table of texts that are there already; leave one of them out"
        )


@contextmanager
def _told(run: DecodingRun) -> Iterator[None]:
    """Context that says where the texts are if it ends too early."""
    try:
        yield
    except BaseException:
        if run.count:
            say(go_on_line("fuse diff", run), error=True)
        raise


class _Answers:
    """Comparison of answers that two models gave elsewhere."""

    def __init__(self, source: str) -> None:
        self.answers = read_answers(source)

    def __call__(self, options: DiffOptions, run: DecodingRun) -> Difference:
        return differ_answers(self.answers, options)


class _Models:
    """Comparison of two models; what it reads is read before they are loaded."""

    def __init__(
        self, pair: list[StreamOptions], settings: DiffSettings, config: str, *, shown: bool
    ) -> None:
        self.pair = pair
        self.config = config
        self.shown = shown
        self.prompts: list[str] | None = None
        if settings.prompts is not None:
            given = settings.prompts
            sources = PromptSources(settings.column, settings.split, settings.limit)
            self.prompts = sources.read([given] if isinstance(given, str) else given)
            check_prompts(self.prompts)
        self.limit = settings.limit
        self.texts = [
            (prompt or "", text)
            for prompt, text in (read_pairs(settings.texts, "--texts") if settings.texts else [])
        ]

    def __call__(self, options: DiffOptions, run: DecodingRun) -> Difference:
        identity = self.identity(options)
        run.check(identity)
        streams = open_streams(self.pair)
        decoder = ContrastiveDecoder(streams, top=TOP)
        prompts = self.prompts
        if prompts is None:
            chat = all(stream.chat for stream in streams)
            prompts = neutral_prompts("chat" if chat else "base", self.limit)
        check_given(decoder, prompts, self.texts, options)
        identity |= content_identity(streams)

        def check(found: Sequence[ScoredText]) -> None:
            if not belong(found, decoder, prompts, options.writing, amount=options.amount):
                raise foreign(run.path)

        known = run.begin(identity, self.config, check)
        with _Bars(self.shown) as bars, lightning_at_rest():
            return differ(
                decoder,
                prompts,
                self.texts,
                options,
                seen=run.add,
                known=known,
                folder=run.path,
                phases=bars,
            )

    def identity(self, options: DiffOptions) -> Identity:
        """Options that the written texts depend on, without the content of models."""
        told = {name: repr(value) for name, value in vars(options).items()}
        own = {name: value for name, value in told.items() if name not in MAY_CHANGE}
        streams = streams_identity(self.pair, ("A", "B"), TOP)
        prompts = self.prompts
        if prompts is None:
            own["limit"] = repr(self.limit)
            prompts = [*neutral_prompts("chat"), *neutral_prompts("base")]
        given = texts_identity("prompts", prompts) | texts_identity("texts", self.texts)
        return {**streams, **own, **given}


class _Bars(Phases):
    """Progress bar of the phase that runs, on a terminal.

    Args:
        shown: Whether there is one.
    """

    def __init__(self, shown: bool) -> None:
        self.shown = shown
        self.bar: Any = None

    def __enter__(self) -> _Bars:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Removes the bar."""
        if self.bar is not None:
            self.bar.close()

    def begin(self, phase: Phase, parts: int, done: int = 0) -> None:
        """Puts the bar of a phase in the place of the one before."""
        self.close()
        self.bar = tqdm(
            desc=phase,
            total=parts,
            initial=done,
            unit=UNITS[phase],
            leave=False,
            disable=not self.shown,
        )

    def advance(self) -> None:
        """Moves the bar by a part."""
        self.bar.update()
