"""Help text of ``fuse decode``: examples first, then the options by what they are for."""

from __future__ import annotations

import shutil
import textwrap
from argparse import SUPPRESS, HelpFormatter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fuse_lightning.cli.texts import TextParser

INTRODUCTION = """usage: fuse decode --a ID [--b ID] [--c ID] [--d ID]
                   --weights 2,-1 | --preset NAME
                   --prompts TEXT|FILE ... | --score FILE
                   [more options] [--config FILE]
       fuse decode --resume DIR

Two to four language models write or read one text together. A model with the text that it
reads around a prompt is a stream: A, B, C, D. The log-probabilities of the streams are added
with the weights. How far A and B are apart is recorded at every token.

examples:
  fuse decode --a zoo/mood-plain --b zoo/gpt2 --weights 2,-1 --prompts "a picture of"
                                  write what A likes better than B
  fuse decode --a zoo/mood-plain --b zoo/gpt2 --score texts.csv
                                  read given texts: where do the two models part?
  fuse decode --a zoo/gpt2 --a.prefix "a lovely " --preset guidance --scale 1.5 \\
      --prompts "picture of"      one model, with a prefix and without it
  fuse decode --a zoo/mood-faint --b zoo/gpt2 --preset amplification --sweep 0,1,2,4 \\
      --prompts "" --samples 100 --property.pattern "lovely|happy"
                                  how often does something happen, by amount?
  fuse decode --resume logs/decode/version_0
                                  go on with an interrupted run
"""
WIDEST = 100
"""Most characters of a line."""
WORDS = {
    "help": "This help.",
    "print_config": "All options as YAML, for --config; nothing is run.",
}
"""Words about options that are the parser's own."""
COLUMN = 30
"""Column where the words about an option begin."""


class Section(NamedTuple):
    """Options for one purpose.

    Attributes:
        title: What they are for.
        values: Their names in the parser, each with what stands for its value.
    """

    title: str
    values: Mapping[str, str]


SECTIONS = (
    Section(
        "what each stream is and reads (--b.prefix, --c.prefix and so on for the others)",
        {
            "a.model": "ID",
            "a.prefix": "TEXT",
            "a.chat": "",
            "a.system": "TEXT",
            "a.layers": "6|2,4|low|high",
            "a.temperature": "NUMBER",
            "a.towards": "ID",
            "a.amount": "NUMBER",
        },
    ),
    Section(
        "prompts, or texts to read",
        {
            "prompts": "TEXT|FILE",
            "column": "NAME",
            "split": "NAME",
            "limit": "N",
            "prompt_tokens": "N",
            "score": "FILE",
        },
    ),
    Section(
        "how the streams are joined",
        {
            "weights": "2,-1",
            "preset": "NAME",
            "amount": "NUMBER",
            "beta": "NUMBER",
            "scale": "NUMBER",
            "mode": "weighted|residual",
            "least": "SHARE",
        },
    ),
    Section(
        "mask: which tokens may be written",
        {
            "alpha": "SHARE",
            "mask_top_p": "SHARE",
            "mask_top_k": "N",
            "mask_keep": "N",
            "mask_from": "STREAM",
        },
    ),
    Section(
        "gate: one stream writes alone where two agree",
        {
            "gate": "cosine|tv|js",
            "gate_at": "NUMBER",
            "gate_between": "A,B",
            "fallback": "STREAM",
        },
    ),
    Section(
        "how texts are written",
        {
            "samples": "N",
            "max_new_tokens": "N",
            "temperature": "NUMBER",
            "top_k": "N",
            "top_p": "SHARE",
            "beams": "N",
            "stop": "TEXT",
            "seed": "N",
            "batch_size": "N",
        },
    ),
    Section(
        "what is recorded and printed",
        {
            "compare": "A,B",
            "top": "N",
            "out": "DIR",
            "print": "N",
            "sort": "NAME",
            "json": "",
            "stream": "",
        },
    ),
    Section(
        "a sweep: how often a text has a property, by amount",
        {
            "sweep": "0,1,2",
            "at": "NUMBER",
            "property.pattern": "REGEX",
            "property.ignore_case": "",
            "property.classifier": "ID",
            "property.label": "NAME",
            "property.judge": "ID",
            "property.question": "TEXT",
            "property.threshold": "SHARE",
        },
    ),
    Section(
        "where and how a model is loaded",
        {
            "a.device": "NAME",
            "a.device_map": "auto",
            "a.dtype": "NAME",
            "a.quantization": "4bit|8bit",
            "a.revision": "NAME",
            "a.start": "TEXT",
            "a.trust_remote_code": "",
        },
    ),
    Section("options from a file", {"config": "FILE", "print_config": "", "help": ""}),
)


class DecodeParser(TextParser):
    """Parser of ``fuse decode``, whose help names each option once."""

    def format_help(self, formatter: HelpFormatter | None = None) -> str:
        """Examples, then the options by what they are for."""
        width = min(WIDEST, shutil.get_terminal_size().columns - 2)
        actions = {action.dest: action for action in self._actions}
        parts = [INTRODUCTION]
        for section in SECTIONS:
            lines = [f"{section.title}:"]
            for name, value in section.values.items():
                lines += _entry(actions[name], value, max(width, COLUMN + 20))
            parts.append("\n".join(lines) + "\n")
        return "\n".join(parts)


def _entry(action: Any, value: str, width: int) -> Iterator[str]:
    """Lines about an option: its name and value, and beside or below them what it is."""
    option = max(action.option_strings, key=len).removesuffix("+").removesuffix(".model")
    head = f"  {option} {value}".rstrip()
    about = WORDS.get(action.dest, action.help).replace("``", "").replace("\n", " ")
    default = action.default
    # A switch is off, and the words tell what stands for none.
    if not (default is None or default is False or default in ("", (), SUPPRESS)):
        about = f"{about.rstrip('.')} (default: {_plain(default)})."
    lines = textwrap.wrap(about, width - COLUMN, break_on_hyphens=False)
    if len(head) < COLUMN - 1:
        yield head.ljust(COLUMN) + lines.pop(0)
    else:
        yield head
    yield from (" " * COLUMN + line for line in lines)


def _plain(value: Any) -> str:
    """A default as one types it.

    >>> _plain(1.0), _plain("kl")
    ('1', 'kl')
    """
    return f"{value:g}" if isinstance(value, float) else str(value)
