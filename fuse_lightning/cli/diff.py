"""``fuse diff``: what changed between two models, as one page."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentError
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from tqdm import tqdm  # type: ignore[import-untyped]

from fuse_lightning.cli.decode_options import expanded
from fuse_lightning.cli.decode_setup import layers_of
from fuse_lightning.cli.help import usage
from fuse_lightning.cli.messages import explain
from fuse_lightning.cli.quiet import keep_lines_apart, quiet_transformers
from fuse_lightning.cli.texts import TextParser, plain
from fuse_lightning.decoding import ContrastiveDecoder, ScoredText, StreamOptions, open_streams
from fuse_lightning.decoding.prompt_sources import PromptSources, read_pairs
from fuse_lightning.decoding.run import DecodingRun
from fuse_lightning.diffing.answer_tables import read_answers
from fuse_lightning.diffing.difference import Difference, DiffOptions, differ, differ_answers
from fuse_lightning.diffing.neutral import neutral_prompts
from fuse_lightning.errors import FuseError
from fuse_lightning.report.differences import differences_page, number
from fuse_lightning.report.heat_map import heat_map
from fuse_lightning.results.run_folder import FINDINGS
from fuse_lightning.utilities.terminal import quoted, say, visible

PAGE, MAP = "report.html", "heat_map.html"
FOLDERS = Path("logs") / "diff"
"""Where the numbered folders of comparisons are made."""
MOST_TOLD = 5
"""Most findings of a kind that the terminal shows."""
MOST_SHOWN = 1000
"""Most texts of the heat map, so that it opens in seconds."""


@dataclass
class DiffSettings:
    """Options beside those of the two streams and of the comparison.

    Attributes:
        prompts: Text, file (.txt with a prompt a line, .csv, .jsonl, .parquet) or data set, behind
            which both models write; by default neutral prompts of the package.
        column: Column of prompts in tables.
        split: Split of data sets.
        limit: Most prompts.
        texts: File of texts that both models read: .txt with a text a line, or a table with the
            column text and maybe prompt; by default those that the models have written.
        answers: Table of answers that two models gave elsewhere, in place of models: columns
            question, answer_a and answer_b.
        out: Folder of the run; by default a numbered one in logs/diff.
        overwrite: Replace what an earlier run left in the folder.
        json: Print JSON, and nothing else.
    """

    prompts: str | list[str] | None = None
    column: str | None = None
    split: str | None = None
    limit: int | None = None
    texts: str | None = None
    answers: str | None = None
    out: str | None = None
    overwrite: bool = False
    json: bool = False


def parser() -> TextParser:
    """Parser of the command's options."""
    found = TextParser(prog="fuse diff", exit_on_error=False, allow_abbrev=False)
    found.add_argument("--config", action="config", help="YAML file with options")
    found.add_class_arguments(DiffSettings)
    found.add_class_arguments(DiffOptions)
    for letter in "ab":
        found.add_argument(
            f"--{letter}.model",
            type=str | None,
            default=None,
            help=f"model {letter.upper()}, also the {'first' if letter == 'a' else 'second'} word",
        )
        found.add_class_arguments(StreamOptions, letter, skip={"model"}, as_group=False)
    return found


def command(words: Sequence[str]) -> None:
    """Runs the command, which takes the two models without option names.

    Raises:
        FuseError: If an option, a file or a model is not as it must be.
    """
    keep_lines_apart()
    if {"-h", "--help"} & {*words}:
        print(*usage(words[0]), sep="\n")
    quiet_transformers()
    try:
        found = plain(parser().parse_args(_named(words[1:])))
    except ArgumentError as error:
        raise FuseError(f"{explain(error)}; see fuse diff --help") from error
    settings = DiffSettings(**{each.name: found[each.name] for each in fields(DiffSettings)})
    options = DiffOptions(**{each.name: found[each.name] for each in fields(DiffOptions)})
    streams = [dict(vars(found[letter])) for letter in "ab"]
    missing = [letter for letter, each in zip("AB", streams, strict=True) if not each["model"]]
    if settings.answers is None and missing:
        raise FuseError(
            f"model {missing[0]} is missing; give two models, such as fuse diff zoo/mood-plain "
            "zoo/gpt2, or --answers with a table"
        )
    if settings.answers is not None:
        others = (streams[0]["model"], settings.prompts, settings.texts)
        names_of = ("a model", "--prompts", "--texts")
        if wrong := [name for name, value in zip(names_of, others, strict=True) if value]:
            raise FuseError(
                f"answers is {settings.answers!r}, of which nothing more is written or read, and "
                f"{wrong[0]} is given; leave one of them out"
            )
        names = "answer_a", "answer_b"
        ask: _Answers | _Models = _Answers(settings.answers)
    else:
        pair = [StreamOptions(**{**each, "layers": layers_of(each["layers"])}) for each in streams]
        names = (pair[0].description, pair[1].description)
        ask = _Models(pair, settings, options)
    place = Path(settings.out) if settings.out else None
    with DecodingRun(place, overwrite=settings.overwrite, parent=FOLDERS) as run:
        difference = ask(options, progress=not settings.json and sys.stderr.isatty())
        _write(difference, run, names)
        _tell(difference, run.path, as_json=settings.json)


def _named(words: Sequence[str]) -> list[str]:
    """Words with an option's name before each of the two models."""
    rest = list(words)
    found = []
    for letter in "ab":
        if rest and not rest[0].startswith("-"):
            found.append(f"--{letter}.model={rest.pop(0)}")
    return [
        *found,
        *expanded(["--overwrite=true" if word == "--overwrite" else word for word in rest]),
    ]


class _Answers:
    """Comparison of answers that two models gave elsewhere."""

    def __init__(self, source: str) -> None:
        self.answers = read_answers(source)

    def __call__(self, options: DiffOptions, *, progress: bool) -> Difference:
        return differ_answers(self.answers, options)


class _Models:
    """Comparison of two models; what it reads is read before they are loaded."""

    def __init__(
        self, pair: list[StreamOptions], settings: DiffSettings, options: DiffOptions
    ) -> None:
        self.pair = pair
        self.prompts: list[str] | None = None
        if settings.prompts is not None:
            given = settings.prompts
            sources = PromptSources(settings.column, settings.split, settings.limit)
            self.prompts = sources.read([given] if isinstance(given, str) else given)
        self.limit = settings.limit
        self.texts = [
            (prompt or "", text)
            for prompt, text in (read_pairs(settings.texts) if settings.texts else [])
        ]

    def __call__(self, options: DiffOptions, *, progress: bool) -> Difference:
        streams = open_streams(self.pair)
        prompts = self.prompts
        if prompts is None:
            chat = all(stream.chat for stream in streams)
            prompts = neutral_prompts("chat" if chat else "base", self.limit)
        total = 4 * options.samples * len(prompts) + len(self.texts)
        with tqdm(total=total, unit=" texts", leave=False, disable=not progress) as bar:

            def seen(_: ScoredText) -> None:
                bar.update()

            decoder = ContrastiveDecoder(streams)
            return differ(decoder, prompts, self.texts, options, seen=seen)


def _write(difference: Difference, run: DecodingRun, names: tuple[str, str]) -> None:
    """Writes the files of a comparison."""
    folder = run.path
    run.folder.write(FINDINGS, f"{json.dumps(difference.to_dict(), indent=1)}\n")
    links = {}
    if texts := [each for each in difference.texts if len(each.tokens)]:
        texts.sort(key=lambda each: -each.divergence("js"))
        about = f"A is {names[0]}; B is {names[1]}"
        heat_map(texts[:MOST_SHOWN], folder / MAP, measure="js", about=about)
        links = {"where the two part, token by token": MAP}
    differences_page(
        difference.findings,
        folder / PAGE,
        models=names,
        summary=difference.summary,
        notes=[*difference.notes, *_divergence(difference)],
        links=links,
        looked=difference.looked,
    )


def _divergence(difference: Difference) -> list[str]:
    found = difference.divergence
    if found is None:
        return []
    js, kl = found.divergences["js"], found.divergences["kl"]
    return [
        f"Mean over prompts: Jensen-Shannon {number(js.value)} nats a token (standard error "
        f"{number(js.error)}), KL(A‖B) {number(kl.value)} ({number(kl.error)}). Two identical "
        "models have 0."
    ]


def _tell(difference: Difference, folder: Path, *, as_json: bool) -> None:
    if as_json:
        text = json.dumps(difference.to_dict(), indent=2, ensure_ascii=False)
        say(*map(visible, text.splitlines()))
        return
    lines = [difference.summary]
    kinds: Counter[str] = Counter()
    for place, each in enumerate(difference.findings, start=1):
        kinds[each.kind] += 1
        if kinds[each.kind] > MOST_TOLD:
            continue
        p = "" if each.p is None else f", p {each.p:.2g}"
        lines += [
            f"{place:3}. {each.claim}",
            f"     {number(each.effect)} {each.unit} ({number(each.low)} to "
            f"{number(each.high)}{p}; identical pair {number(each.identical)})",
        ]
    if more := sum(max(0, count - MOST_TOLD) for count in kinds.values()):
        lines.append(f"     and {more} more of the same kinds on the page")
    say(*map(visible, [*lines, *_divergence(difference), f"the page is {quoted(folder / PAGE)}"]))
