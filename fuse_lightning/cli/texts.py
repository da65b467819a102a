"""Option parser that takes texts literally: a prompt is never read as YAML."""

import re
from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from jsonargparse import Namespace, set_loader
from lightning.pytorch.cli import LightningArgumentParser

from fuse_lightning.errors import FuseError
from fuse_lightning.objectives.layout import Message
from fuse_lightning.optimizers.constraints import Listed

MODE = "fuse"
"""The parser's name for this package's YAML reader."""
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$")
LISTS = frozenset((list[str], list[Listed], list[Message]))
TEXTS = frozenset((str, NoneType)) | LISTS


class Text(str):
    """Marker of a text that the parser must not read as YAML."""

    __slots__ = ()


class Deferred(str):
    """Value of a class's option, whose type the parser of that class knows."""

    __slots__ = ()


class TextParser(LightningArgumentParser):
    """Parser that takes the values of text options literally.

    On the command line a text option (``str``, ``str | list[str]``) takes a list in brackets as a
    list, ``null`` as none where it may be none, and everything else as a text.

    It is the parser of a command and of the classes that this one names. jsonargparse has no public
    place where the type of an option and its value as given are known; the methods with an
    underscore are its own.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"parser_mode": MODE, **kwargs})

    def _parse_optional(self, arg_string: str) -> Any:
        """Finds the option of a word, and marks the value of a text option as a text."""
        option: Any = super()._parse_optional(arg_string)  # type: ignore[no-untyped-call]
        if isinstance(option, list):
            return [_kept(*each) for each in option]
        return option and _kept(*option)

    def _check_value_key(
        self, action: Any, value: Any, key: str, cfg: Any, append: bool = False
    ) -> Any:
        """Checks a value, after its text is marked or unmarked by the option's type."""
        if isinstance(value, Deferred):
            value = _taken(action, str(value), append)
        elif not _kinds(action) <= TEXTS:
            value = _released(_kinds(action), value)
        return super()._check_value_key(action, value, key, cfg, append)


def _kept(action: Any, option: str, *rest: Any) -> tuple[Any, ...]:
    """The action, option and value of a word; the value of a text option is marked."""
    *between, value = rest
    if value == "--":
        # Before Python 3.13 argparse drops it.
        raise FuseError(f"{option} cannot be '--' on the command line; write it in a YAML file")
    if action is not None and isinstance(value, str):
        own = option in action.option_strings
        value = _taken(action, value, option.endswith("+")) if own else Deferred(value)
    return (action, option, *between, value)


def _taken(action: Any, value: str, append: bool) -> str:
    """The value, marked as a text if its option takes texts."""
    kinds = _kinds(action)
    if not kinds <= TEXTS or (value == "null" and NoneType in kinds):
        return value
    one = str in kinds or append
    return Text(value) if one and not (kinds & LISTS and is_list(value)) else value


def _kinds(action: Any) -> set[Any]:
    """Types that an option takes."""
    hint = getattr(action, "_typehint", None)
    return {*get_args(hint)} if get_origin(hint) in (Union, UnionType) else {hint}


def _released(kinds: set[Any], value: Any) -> Any:
    """Unmarked value for an option that takes no text: a number in quotes counts as a number.

    What a class takes is left to its own parser.
    """
    if isinstance(value, list):
        return [str(each) if isinstance(each, Text) else each for each in value]
    if isinstance(value, dict) and any(get_origin(kind) is dict for kind in kinds):
        return {key: str(each) if isinstance(each, Text) else each for key, each in value.items()}
    return str(value) if isinstance(value, Text) else value


def is_list(value: str) -> bool:
    """Whether a value is a list in brackets.

    >>> is_list("[a, b]"), is_list("[a"), is_list("a, b")
    (True, False, False)
    """
    if not (value.startswith("[") and value.endswith("]")):
        return False
    try:
        return isinstance(_load(value), list)
    except (RecursionError, ValueError, yaml.YAMLError):
        return False


def attached(words: Sequence[str]) -> list[str]:
    """Words of a command line, each option of a class joined to its value: ``--data.texts=-x``.

    A value that stands alone would be read before it is known what it is for.

    >>> attached(["fit", "--data.texts", "-x", "--config", "run.yaml"])
    ['fit', '--data.texts=-x', '--config', 'run.yaml']
    """
    left = list(words)
    joined: list[str] = []
    while left:
        word = left.pop(0)
        alone = word.startswith("--") and "." in word and "=" not in word
        if alone and not word.endswith(".help") and left and not left[0].startswith("--"):
            word = f"{word}={left.pop(0)}"
        joined.append(word)
    return joined


def plain(value: Any) -> Any:
    """Parsed options with plain ``str`` texts; a namespace is changed in place.

    Also those of libraries, such as members of a ``StrEnum``, which YAML cannot write.

    >>> type(plain([Text("a")])[0])
    <class 'str'>
    """
    match value:
        case str():
            return str.__str__(value)
        case Namespace():
            for key, item in vars(value).items():
                setattr(value, key, plain(item))
        case dict():
            return {plain(key): plain(item) for key, item in value.items()}
        case list():
            return [plain(item) for item in value]
    return value


def _make_loader() -> type[Any]:
    """YAML loader that marks quoted and block scalars as texts, and reads no dates."""
    base: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    loader = type("Loader", (base,), {})
    dates = "tag:yaml.org,2002:timestamp"
    loader.yaml_implicit_resolvers = {  # type: ignore[attr-defined]
        first: [(tag, pattern) for tag, pattern in resolvers if tag != dates]
        for first, resolvers in base.yaml_implicit_resolvers.items()
    }
    loader.add_constructor("tag:yaml.org,2002:str", _scalar)  # type: ignore[attr-defined]
    return loader


def _scalar(loader: Any, node: Any) -> str:
    value: str = loader.construct_scalar(node)
    return value if node.style is None else Text(value)


_LOADER = _make_loader()


def _load(content: str) -> Any:
    value = yaml.load(content, Loader=_LOADER)
    # YAML 1.1 reads 1e-3 as a text, and leaves such a text without quotes when it writes it.
    return float(value) if type(value) is str and FLOAT.match(value) else value


set_loader(MODE, _load, exceptions=(yaml.YAMLError,))
BREAKS = frozenset("\x85\u2028\u2029")
"""Line breaks that YAML would fold where they are not escaped."""


def _written(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = '"' if BREAKS & {*text} else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", str.__str__(text), style=style)


# The parser writes what it has read before it makes plain texts of it.
for kind in (str, Text, Deferred):
    yaml.SafeDumper.add_representer(kind, _written)
