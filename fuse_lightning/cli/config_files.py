"""Checks of configuration files before they are parsed: size, depth and number of values."""

import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from os.path import exists, isdir
from pathlib import Path

import yaml

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.regular import check_regular, read_text
from fuse_lightning.utilities.terminal import quoted

LARGEST = 2**20
"""Most bytes of a configuration: YAML takes seconds for a megabyte."""
DEEPEST = 100
MOST_VALUES = 30_000
"""Most values of a configuration once its aliases are replaced."""
ENDINGS = (".yaml", ".yml", ".json")
CONFIG = ("-c", "--config")
UNREADABLE = "Problems parsing config: "
"""Beginning of the parser's message about a file that is no YAML."""
COMPLAINTS = (
    UNREADABLE,
    "Unexpected config",
    'Parser key "config": ',
    "Key must be",
    "Config file loop",
)
"""Beginnings of messages about a configuration that do not name its file."""


def config_paths(words: Iterable[str]) -> list[str]:
    """Configuration files that a command line names.

    >>> config_paths(["fit", "--config", "a.yaml", "--config=b.yaml", "--data=c.yaml"])
    ['a.yaml', 'b.yaml']
    """
    return [value for option, value in _options([*words]) if option in CONFIG]


def about_config(message: str, words: Iterable[str]) -> str | None:
    """A line with the file's name for a message of the parser; ``None`` for other messages.

    Args:
        message: The message.
        words: The command line.
    """
    if not message.startswith(COMPLAINTS):
        return None
    names = " or ".join(map(repr, config_paths(words)))
    text = message.removeprefix(UNREADABLE).removeprefix(COMPLAINTS[2])
    text = " ".join(text.replace('in "<unicode string>", ', "at ").split())
    return f"config {names} cannot be read: {text}; give a YAML file with model and data"


def check_configs(words: Iterable[str]) -> None:
    """Checks every file that a command line gives the parser to read.

    Args:
        words: The words, such as ``--config`` and ``run.yaml``, or ``--data=images.yaml``.

    Raises:
        FuseError: If a configuration is no file, too large, nested too deeply, or unfolds to too
            many values; or if an option is given a named pipe or a device.
    """
    for option, value in _options([str(word) for word in words]):
        path = Path(value)
        # Classes and their parts may be given by a file; below data such a name is a manifest.
        is_part = path.suffix.lower() in ENDINGS and not option.startswith("--data.")
        is_config = option in CONFIG or is_part
        # These say no, too, to a text that is no name that a file can have.
        if not exists(value) or (isdir(value) and not is_config):
            continue
        if is_config:
            config_text(path)
            continue
        try:
            check_regular(path, largest=sys.maxsize)
        except OSError as error:
            raise FuseError(
                f"option {option}: {quoted(value)} cannot be read: {error}; give a file"
            ) from error


def config_text(path: Path) -> str:
    """Text of a configuration file within the limits of size, depth and values; maybe no YAML.

    Raises:
        FuseError: If there is none.
    """
    try:
        text = read_text(path, LARGEST)
        _measure(text)
    except (OSError, ValueError) as error:
        raise FuseError(
            f"config {quoted(path)} cannot be read: {error}; give a YAML file with model and data"
        ) from error
    return text


def _options(words: list[str]) -> Iterator[tuple[str, str]]:
    for word, after in pairwise([*words, ""]):
        if not word.startswith("-"):
            continue
        option, equals, value = word.partition("=")
        if value := value if equals else after:
            yield option, value


def _measure(text: str) -> None:
    """Checks how deep a YAML text is and how many values it has once its aliases are replaced.

    Raises:
        ValueError: If they are too many or nested too deeply.
    """
    # Open lists and mappings: their anchor, and the values in them so far.
    open_parts: list[tuple[str | None, int]] = [(None, 0)]
    sizes: dict[str, int] = {}
    try:
        for event in yaml.parse(text, yaml.SafeLoader):
            if isinstance(event, yaml.CollectionStartEvent):
                open_parts.append((event.anchor, 0))
                # An alias inside of what it stands for would have no end.
                sizes.pop(event.anchor, None)
                if len(open_parts) > DEEPEST:
                    raise ValueError("it is nested too deeply")
                continue
            if isinstance(event, yaml.CollectionEndEvent):
                anchor, size = open_parts.pop()
            elif isinstance(event, yaml.ScalarEvent):
                anchor, size = event.anchor, 0
            elif isinstance(event, yaml.AliasEvent):
                anchor, size = None, sizes.get(event.anchor, 0)
            else:
                continue
            if anchor is not None:
                sizes[anchor] = size
            outer, count = open_parts[-1]
            open_parts[-1] = (outer, count + size + 1)
            if count + size >= MOST_VALUES:
                raise ValueError(f"it holds more than {MOST_VALUES} values, with its aliases")
    except yaml.YAMLError:
        # The parser of options says where it is wrong.
        return
