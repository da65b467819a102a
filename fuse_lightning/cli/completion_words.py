"""Words that a shell can complete: commands, names behind them, options and their values."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module

from fuse_lightning.cli.help import COMMANDS, EVERY, HELP_WORD
from fuse_lightning.cli.named_configs import CONFIG, shipped_configs

SEARCHES = ("check", "fit", "validate", "test", "predict")
STREAMS = {"decode": "bcd", "diff": "b"}
"""Streams beside A that a command has; its help page names the options of A alone."""
TOOLS = ("zoo", "adapter")
"""Commands behind which the name of a tool stands."""
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9._-]*[a-z0-9]|(?<![\w-])-[a-zA-Z](?![\w-])")


@dataclass(frozen=True)
class Words:
    """Words that a shell can complete.

    Attributes:
        options: Options of each command.
        names: Names that may stand behind each command.
        values: Values of options, by the spellings of the option; files fit there too.
    """

    options: Mapping[str, Sequence[str]]
    names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    values: Mapping[tuple[str, ...], Sequence[str]] = field(default_factory=dict)

    @property
    def commands(self) -> list[str]:
        """All commands, each once.

        >>> Words({"fit": ["--model"]}, {"help": ["fit"]}).commands
        ['fit', 'help']
        """
        return [*dict.fromkeys([*self.options, *self.names])]


def completion_words(shells: Sequence[str]) -> Words:
    """All words of the command line.

    Args:
        shells: Names behind ``fuse completion``.
    """
    configs = [*shipped_configs()]
    names = {
        "configs": configs,
        "completion": shells,
        **{name: _tools(name) for name in TOOLS},
        HELP_WORD: [*COMMANDS, *_class_names()],
    }
    return Words({name: option_words(name) for name in COMMANDS}, names, {CONFIG: configs})


def option_words(name: str) -> list[str]:
    """Options of a command, read from its help pages."""
    if name == "completion":
        return []
    pages = [_page(name, "--help")]
    more: list[str] = []
    if name in SEARCHES:
        pages += _search_pages()
        more = _element_options()
    elif name in TOOLS:
        pages += [_page(name, tool, "--help") for tool in _tools(name)]
    found = {*more, *(word for page in pages for word in OPTION.findall(page))}
    own = {word.removeprefix("--a.") for word in found if word.startswith("--a.")}
    for letter in STREAMS.get(name, ""):
        found |= {f"--{letter}", *(f"--{letter}.{option}" for option in own)}
    return sorted(word for word in found if word != EVERY and not word.endswith(".help"))


def _tools(name: str) -> list[str]:
    return re.findall(r"^    (\w+)  ", _page(name, "--help"), re.MULTILINE)


@cache
def _search_pages() -> list[str]:
    """Help pages that the commands of a search share: all options, and those of all classes."""
    options = [f"--{place}.help={name}" for place, name in _classes()]
    return [_page("fit", option) for option in (EVERY, *options)]


@cache
def _element_options() -> list[str]:
    """Options of terms and frontiers by their names, such as ``--model.terms.fluency.weight``."""
    from fuse_lightning.cli.classes import options
    from fuse_lightning.cli.search_help import named_classes
    from fuse_lightning.objectives import Term
    from fuse_lightning.search import Frontier
    from fuse_lightning.utilities.words import snake_case

    return [
        f"--{place}.{snake_case(kind.__name__)}.{option}"
        for place, base in (("model.terms", Term), ("trainer.callbacks", Frontier))
        for kind in named_classes(base)
        for option in options(kind)
    ]


def _class_names() -> list[str]:
    from fuse_lightning.cli.search_help import named_classes

    return sorted(kind.__name__ for kind in named_classes(object, bases=True))


def _classes() -> Iterator[tuple[str, str]]:
    from fuse_lightning.cli.search_help import named_classes
    from fuse_lightning.data import TargetDataModule
    from fuse_lightning.search import SearchModule

    for place, base in (("model", SearchModule), ("data", TargetDataModule)):
        for kind in named_classes(base):
            yield place, kind.__name__


@cache
def _page(name: str, *words: str) -> str:
    run = import_module(f"fuse_lightning.cli.{COMMANDS[name]}").command
    stream = io.StringIO()
    with redirect_stdout(stream), suppress(SystemExit):
        run([name, *words])
    return stream.getvalue()
