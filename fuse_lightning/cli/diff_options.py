"""Options of ``fuse diff``, and their parser."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

from jsonargparse import Namespace

from fuse_lightning.cli.decode_options import expanded, helped, texts_of
from fuse_lightning.cli.diff_help import INTRODUCTION, SECTIONS
from fuse_lightning.cli.help import EVERY
from fuse_lightning.cli.read_options import absolute, absolute_prompts, understood
from fuse_lightning.cli.sections import SectionedParser, sectioned_parser
from fuse_lightning.cli.texts import TextParser
from fuse_lightning.decoding import StreamOptions
from fuse_lightning.decoding.prompt_sources import PromptSources
from fuse_lightning.diffing.difference import DiffOptions


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


@dataclass
class Parsed:
    """What a command line says.

    Attributes:
        streams: Options of the streams A and B; models may be missing.
        settings: Other options.
        options: How the two are compared.
        config: All options as YAML.
    """

    streams: list[dict[str, Any]]
    settings: DiffSettings
    options: DiffOptions
    config: str


def parser(*, every: bool = False) -> SectionedParser:
    """Parser of the command's options.

    Args:
        every: Whether its help tells about all options.
    """
    found = sectioned_parser("diff", INTRODUCTION, SECTIONS, every=every)
    found.add_class_arguments(DiffSettings)
    found.add_class_arguments(DiffOptions)
    for letter in "ab":
        found.add_argument(
            f"--{letter}.model",
            type=str | None,
            default=None,
            help=f"Model {letter.upper()}, which may also be the "
            f"{'first' if letter == 'a' else 'second'} word of the command.",
        )
        found.add_class_arguments(StreamOptions, letter, skip={"model"}, as_group=False)
    return found


def parse(words: Sequence[str], config: str | None = None) -> Parsed:
    """Options of a command line.

    Args:
        words: The words behind the command; the two models may stand first.
        config: File of options that those of the words replace.

    Raises:
        FuseError: If a word or a file of options cannot be understood.
        SystemExit: Behind ``--help``, ``--help-all`` and ``--print_config``, which print.
    """
    reader = parser(every=EVERY in words)
    given = [] if config is None else [f"--config={config}"]
    found = understood(reader, [*given, *_named(helped(words))])
    return Parsed(
        [dict(vars(found[letter])) for letter in "ab"],
        DiffSettings(**{each.name: found[each.name] for each in fields(DiffSettings)}),
        DiffOptions(**{each.name: found[each.name] for each in fields(DiffOptions)}),
        _config(reader, found),
    )


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


def _config(reader: TextParser, found: Namespace) -> str:
    """The options as YAML, without those of this call, and with absolute paths."""
    kept = found.clone()
    for name in ("config", "out"):
        kept[name] = None
    for name in ("json", "overwrite"):
        kept[name] = False
    for letter, option in product("ab", ("model", "towards")):
        kept[f"{letter}.{option}"] = absolute(kept[f"{letter}.{option}"])
    kept["texts"] = absolute(kept["texts"])
    sources = PromptSources(kept["column"], kept["split"])
    kept["prompts"] = absolute_prompts(texts_of(kept["prompts"]), sources) or None
    return str(reader.dump(kept, skip_none=False))
