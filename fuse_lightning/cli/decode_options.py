"""Options of ``fuse decode``, and their parser."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import product
from typing import Any

import yaml
from jsonargparse import Namespace

from fuse_lightning.cli.decode_help import INTRODUCTION, SECTIONS
from fuse_lightning.cli.help import EVERY
from fuse_lightning.cli.read_options import absolute, absolute_prompts, understood
from fuse_lightning.cli.sections import SectionedParser, sectioned_parser
from fuse_lightning.cli.texts import TextParser, is_list
from fuse_lightning.decoding import DecodingOptions, StreamOptions
from fuse_lightning.decoding.contrast import GateKind, Mode
from fuse_lightning.decoding.prompt_sources import PromptSources, checked_text
from fuse_lightning.errors import FuseError

STREAMS = "abcd"
"""Options that name streams, in order."""
MANY = ("--prompts", "--stop")
"""Options that may be given several times."""
SWITCHES = ("--json", "--stream", "--property.ignore_case")
STREAM_SWITCHES = (".chat", ".trust_remote_code")
"""Options, and ends of options, that stand for true without a value."""
ALONE = ("--help", "--print_config")
"""Options that take no value behind a space."""


@dataclass
class DecodeSettings:
    """Options beside those of the streams and of writing.

    Attributes:
        weights: Weight of each stream: 2,-1 is twice A less B.
        preset: Published method in place of weights: contrastive, guidance, context_aware, proxy,
            amplification, layers or residual.
        amount: Strength of the presets amplification (by default 1), context_aware (0.5) and
            proxy (1); 0 is A alone.
        beta: Strength of the preset contrastive: (1 + beta) A - beta B; by default A - B.
        scale: Strength of the preset guidance; 1 is A alone.
        mode: Sum of log-probabilities by the weights, or samples in proportion to what A has more
            than B (residual); by default weighted.
        alpha: Least probability of a token, as a share of the likeliest token's. The presets
            contrastive and layers set 0.1.
        mask_top_p: Only the likeliest tokens that have this probability together.
        mask_top_k: Only so many of the likeliest tokens.
        mask_keep: Fewest tokens that alpha and mask_top_p keep.
        mask_from: Stream whose probabilities the mask reads; by default that of the largest weight.
        gate: How two streams are compared: cosine similarity, total variation or Jensen-Shannon.
        gate_at: Threshold of tv (0 to 1) or js (nats, to 0.693), below which the two agree;
            strength of cosine.
        gate_between: The two streams that the gate compares, such as A,B.
        fallback: Stream that writes alone behind a gate, or where residual has too little left.
        least: Least share of A that the mode residual needs; where it has less, the fallback
            writes.
        prompts: Text, file (.txt with a prompt a line, .csv, .jsonl, .parquet), or data set
            (hub:USER/NAME or a folder). May be given several times; "" is the empty prompt.
        column: Column of a table that holds the prompts; by default prompt, question,
            instruction or text.
        split: Split of a data set, such as test.
        limit: Most prompts that are read.
        prompt_tokens: Only so many tokens from the beginning of each prompt.
        score: File of texts that are read, and none is written: .txt with a text a line, or a
            table with the column text and maybe prompt.
        stop: Text that ends a text; may be given several times.
        compare: The two streams whose divergences are recorded.
        top: Likeliest tokens of each stream that are recorded at each place.
        sweep: Amounts of the preset (0,0.5,1,2), or rows of weights ("1,0;2,-1;3,-2"). Texts are
            written with each of them.
        at: Amount at which the rate of the property is extrapolated; by default that of A alone.
        out: Folder of the run; by default a numbered one in logs/decode.
        print: How many of the most divergent texts are printed.
        sort: Divergence by which texts are sorted: kl, reverse_kl, js, tv, centred_l1 or none.
        json: A line of JSON for each text, and nothing else, on standard output.
        stream: One text, printed as it is written. Nothing is kept.
    """

    weights: str | list[float] | None = None
    preset: str | None = None
    amount: float | None = None
    beta: float | None = None
    scale: float | None = None
    mode: Mode | None = None
    alpha: float | None = None
    mask_top_p: float | None = None
    mask_top_k: int | None = None
    mask_keep: int | None = None
    mask_from: str | None = None
    gate: GateKind | None = None
    gate_at: float | None = None
    gate_between: str | list[str] | None = None
    fallback: str | None = None
    least: float | None = None
    prompts: str | list[str] | None = None
    column: str | None = None
    split: str | None = None
    limit: int | None = None
    prompt_tokens: int | None = None
    score: str | None = None
    stop: str | list[str] | None = None
    compare: str | list[str] = "A,B"
    top: int = 5
    sweep: str | list[float] | list[list[float]] | None = None
    at: float | None = None
    out: str | None = None
    print: int = 3
    sort: str = "kl"
    json: bool = False
    stream: bool = False


@dataclass
class PropertyOptions:
    """Options of the property whose rate a sweep counts; a pattern, a classifier or a judge.

    Attributes:
        pattern: Regular expression that is looked for in the text behind the prompt.
        ignore_case: Upper and lower case are the same to the pattern.
        classifier: Classifier of texts that gives a label.
        label: The label, by its name or number.
        judge: Language model that answers a question about prompt and text with yes or no.
        question: The question, with {text} and maybe {prompt}.
        threshold: Grade from which a text has the property; by default each counts with its grade.
    """

    pattern: str | None = None
    ignore_case: bool = False
    classifier: str | None = None
    label: str | None = None
    judge: str | None = None
    question: str | None = None
    threshold: float | None = None


@dataclass
class Parsed:
    """What a command line says.

    Attributes:
        streams: Options of each stream that is spoken of, by its letter; models may be missing.
        settings: Other options.
        writing: How texts are written.
        property: The property of a sweep.
        config: All options as YAML.
    """

    streams: dict[str, dict[str, Any]]
    settings: DecodeSettings
    writing: DecodingOptions
    property: PropertyOptions
    config: str


def parser(*, every: bool = False) -> SectionedParser:
    """Parser of the command's options.

    Args:
        every: Whether its help tells about all options.
    """
    found = sectioned_parser("decode", INTRODUCTION, SECTIONS, every=every)
    found.add_class_arguments(DecodeSettings)
    found.add_class_arguments(DecodingOptions, skip={"stop"})
    found.add_class_arguments(PropertyOptions, "property", as_group=False)
    for letter in STREAMS:
        found.add_argument(
            f"--{letter}.model",
            type=str | None,
            default=None,
            help="Model of the stream: hub id, local folder, GGUF file, PEFT adapter or zoo/NAME. "
            "Streams B, C and D take that of A where they name none.",
        )
        found.add_class_arguments(StreamOptions, letter, skip={"model"}, as_group=False)
    return found


def parse(words: Sequence[str]) -> Parsed:
    """Options of a command line.

    Args:
        words: The words behind the command.

    Raises:
        FuseError: If a word or a file of options cannot be understood.
        SystemExit: Behind ``--help``, ``--help-all`` and ``--print_config``, which print.
    """
    reader = parser(every=EVERY in words)
    found = understood(reader, expanded(helped(words)))
    for group in (*STREAMS, "property"):
        if not isinstance(found[group], Namespace):
            raise FuseError(
                f"option --{group} is {found[group]!r}; give a group of options, such as "
                f"{group}: {{{'pattern' if group == 'property' else 'model'}: {found[group]}}}"
            )
    writing = {each.name: found[each.name] for each in fields(DecodingOptions)}
    del writing["stop"]
    return Parsed(
        _streams(found),
        DecodeSettings(**{each.name: found[each.name] for each in fields(DecodeSettings)}),
        DecodingOptions(
            **writing,
            stop=tuple(checked_text(each, "stop") for each in texts_of(found["stop"])),
        ),
        PropertyOptions(**vars(found["property"])),
        _config(reader, found),
    )


def helped(words: Sequence[str]) -> list[str]:
    """Words of a command line that ask for help with the word that parsers know.

    >>> helped(["--help-all"])
    ['--help']
    """
    return ["--help" if word == EVERY else word for word in words]


def expanded(words: Sequence[str]) -> list[str]:
    """Words of a command line as the parser takes them.

    Each option is joined to its value, which may begin with a dash. ``--a ID`` stands for
    ``--a.model ID``. An option that is given several times becomes one list.

    >>> expanded(["--a", "x", "--weights", "-1,2", "--stop", "a", "--stop", "b", "--json"])
    ['--a.model=x', '--weights=-1,2', '--json=true', '--stop=["a", "b"]']
    """
    left = [str(word) for word in words]
    joined: list[str] = []
    many: dict[str, list[str]] = {}
    while left:
        option, equals, value = left.pop(0).partition("=")
        follows = bool(left) and not left[0].startswith("--")
        if not equals and option.startswith("--") and option not in ALONE:
            if option in SWITCHES or option.endswith(STREAM_SWITCHES):
                equals = "="
                value = left.pop(0) if follows and left[0] in ("true", "false") else "true"
            elif follows:
                equals, value = "=", left.pop(0)
        if option.startswith("--") and option[2:] in [*STREAMS]:
            option += ".model"
        if option in MANY and equals:
            many.setdefault(option, []).append(value)
        else:
            joined.append(f"{option}{equals}{value}")
    for option, values in many.items():
        joined.append(f"{option}={values[0] if len(values) == 1 else _listed(values)}")
    return joined


def _listed(values: Sequence[str]) -> str:
    """One list in brackets of texts, each of which may be such a list itself."""
    lists = [yaml.safe_load(value) if is_list(value) else [value] for value in values]
    texts = [str(text) for some in lists for text in some]
    listed: str = yaml.safe_dump(texts, default_flow_style=True, default_style='"', width=math.inf)
    return listed.removesuffix("\n")


def _streams(found: Namespace) -> dict[str, dict[str, Any]]:
    """Options of the streams that differ from their defaults."""
    defaults = {each.name: each.default for each in fields(StreamOptions) if each.name != "model"}
    streams = {}
    for letter in STREAMS:
        given = vars(found[letter])
        told = {name: value for name, value in given.items() if value != defaults.get(name)}
        # A run may go on from another folder.
        told |= {name: absolute(told[name]) for name in ("model", "towards") if name in told}
        for name in ("prefix", "system"):
            checked_text(told.get(name) or "", f"{letter}.{name}")
        if told:
            streams[letter] = told
    return streams


def texts_of(value: str | list[str] | None) -> list[str]:
    """List of a text, of several, or of none."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def _config(reader: TextParser, found: Namespace) -> str:
    """The options as YAML, without those of this call, and with absolute paths."""
    kept = found.clone()
    for name in ("config", "out"):
        kept[name] = None
    for name in ("json", "stream"):
        kept[name] = False
    for letter, option in product(STREAMS, ("model", "towards")):
        kept[f"{letter}.{option}"] = absolute(kept[f"{letter}.{option}"])
    kept["score"] = absolute(kept["score"])
    sources = PromptSources(kept["column"], kept["split"])
    kept["prompts"] = absolute_prompts(texts_of(kept["prompts"]), sources) or None
    return str(reader.dump(kept, skip_none=False))
