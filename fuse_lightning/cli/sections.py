"""Help pages in sections: a short page with the usual options, and one with all of them."""

from __future__ import annotations

import shutil
from argparse import SUPPRESS, HelpFormatter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from fuse_lightning.cli.help import EVERY, WIDTH, entry, first_sentence
from fuse_lightning.cli.texts import TextParser

COLUMN = 30
"""Column where the words about an option begin."""
WORDS = {
    "help": "This help.",
    "print_config": "All options as YAML, for --config; nothing is run.",
}
"""Words about options that are the parser's own."""


class Section(NamedTuple):
    """Options for one purpose.

    Attributes:
        title: What they are for.
        values: Their names in the parser, each with what stands for its value.
        rare: Those of them that the short page only names.
        others: Options that the parser does not know, with their values, and what they are.
    """

    title: str
    values: Mapping[str, str]
    rare: Sequence[str] = ()
    others: Mapping[str, str] = {}


STREAM = {
    "a.model": "ID",
    "a.prefix": "TEXT",
    "a.chat": "",
    "a.system": "TEXT",
    "a.layers": "6|2,4|low|high",
    "a.temperature": "NUMBER",
    "a.towards": "ID",
    "a.amount": "NUMBER",
}
"""Options of what a stream is and reads."""
LOADING = Section(
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
    rare=("a.device_map", "a.revision", "a.start", "a.trust_remote_code"),
)
"""Options of a model that other places of a command tell nothing about."""


class SectionedParser(TextParser):
    """Parser whose help names each option once, by what it is for.

    Args:
        *args: Options of the parser without a name.
        introduction: Lines of the page before its first section.
        sections: The sections, in order.
        every: Whether the page tells about all options. The short one names the rare ones alone.
        **kwargs: Options of the parser with a name.
    """

    def __init__(
        self,
        *args: Any,
        introduction: str = "",
        sections: Sequence[Section] = (),
        every: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.introduction = introduction
        self.sections = sections
        self.every = every

    def format_help(self, formatter: HelpFormatter | None = None) -> str:
        """The introduction, then the sections."""
        write = self._whole if self.every else self._short
        return "\n".join(
            [self.introduction, *("\n".join(write(section)) + "\n" for section in self.sections)]
        )

    def _whole(self, section: Section) -> Iterator[str]:
        width = max(min(WIDTH, shutil.get_terminal_size().columns - 2), COLUMN + 20)
        yield f"{section.title}:"
        for name, value in section.values.items():
            option, about = self._told(name)
            yield from entry(f"{option} {value}", about, COLUMN, width)
        for option, about in section.others.items():
            yield from entry(option, about, COLUMN, width)

    def _short(self, section: Section) -> Iterator[str]:
        yield f"{section.title}:"
        for name, value in section.values.items():
            if name not in section.rare:
                option, about = self._told(name, first_sentence)
                yield from entry(f"{option} {value}", about, COLUMN)
        for option, about in section.others.items():
            yield from entry(option, about.removesuffix("."), COLUMN)
        if section.rare:
            names = " ".join(self._told(name)[0] for name in section.rare)
            yield from entry(f"in {EVERY}", names, COLUMN)

    def _told(self, name: str, shorten: Any = str) -> tuple[str, str]:
        """An option, and what it is, with its default."""
        (action,) = (each for each in self._actions if each.dest == name)
        option = max(action.option_strings, key=len).removesuffix("+").removesuffix(".model")
        about = shorten(WORDS.get(name, str(action.help)).replace("``", "").replace("\n", " "))
        default = action.default
        # A switch is off, and the words tell what stands for none.
        if not (default is None or default is False or default in ("", (), SUPPRESS)):
            stop = "." if about.endswith(".") else ""
            about = f"{about.rstrip('.')} (default: {_typed(default)}){stop}"
        return option, about


def sectioned_parser(
    command: str, introduction: str, sections: Sequence[Section], *, every: bool
) -> SectionedParser:
    """Parser of a command that has the option ``--config`` alone as yet.

    Args:
        command: Name of the command, such as ``diff``.
        introduction: Lines of the help page before its first section.
        sections: The sections of the page.
        every: Whether the page tells about all options.
    """
    found = SectionedParser(
        introduction=introduction,
        sections=sections,
        every=every,
        prog=f"fuse {command}",
        exit_on_error=False,
        allow_abbrev=False,
    )
    found.add_argument(
        "--config", action="config", help="YAML file with options; those beside it go first."
    )
    return found


def _typed(value: Any) -> str:
    """A default as one types it.

    >>> _typed(1.0), _typed("kl")
    ('1', 'kl')
    """
    return f"{value:g}" if isinstance(value, float) else str(value)
