"""Options of one element of a list: ``--model.terms.image_similarity.weight 8``."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from jsonargparse import Namespace
from lightning.pytorch import Callback
from lightning.pytorch.loggers import Logger

from fuse_lightning.cli.classes import class_names
from fuse_lightning.cli.messages import LISTS
from fuse_lightning.cli.texts import plain
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Term
from fuse_lightning.utilities.words import distinct_names, snake_case

WORD = re.compile(rf"--(?P<place>{LISTS})(?:\.|(?=\[))(?P<name>\w+|\[-?\d+\])(?:\.(?P<option>.+))?")
PRINTS = "--print_config"
ELEMENTS = (Term, Callback, Logger)
"""Bases of what the lists hold."""


@dataclass(frozen=True)
class Named:
    """One word of the command line that may change one element of a list.

    Attributes:
        word: The whole word, its value included.
        place: The list's option, such as ``model.terms``.
        name: What stands behind it: an element's name or index, or an option of the last element.
        option: What stands behind that, with its value; empty if nothing does.
    """

    word: str
    place: str
    name: str
    option: str

    @property
    def index(self) -> int | None:
        """The index that the name is, if it is one."""
        bare = self.name.strip("[]")
        return int(bare) if bare.removeprefix("-").isdecimal() else None


def expand_elements(words: Sequence[str], parse: Callable[[list[str]], Namespace]) -> list[str]:
    """Words by which the parser changes named elements of lists, in place of their short options.

    An element is named by its own name, or that of its class in snake case, with a number behind
    it from the second of a kind on (as the losses are in results), or by its index from 0 on.
    The parser itself takes ``--model.terms.weight`` for an option of the last term. That is meant
    where the command line has given this term just before; elsewhere, one of several would change
    silently, and this is refused.

    Args:
        words: The command line, each option joined to its value.
        parse: Parses words, and returns the options of the subcommand.

    Raises:
        FuseError: If an option names no element, or the last of several alone.
    """
    found = [*_named(words)]
    if not found:
        return [*words]
    # An option without a name may be one that the last element needs.
    asked = {each.word for each in found if each.option or _is_name(each.name)}
    kept = [word for word in words if word not in asked and not word.startswith(PRINTS)]
    options = parse(kept)
    changes: dict[str, dict[int, list[str]]] = {}
    for each in found:
        elements = _elements(each.place, options)
        names = _names(elements)
        chosen = _chosen(each, names)
        if chosen is None:
            if len(elements) > 1:
                raise FuseError(_one_of(each, names))
            asked.discard(each.word)
        else:
            changes.setdefault(each.place, {}).setdefault(chosen, []).append(each.option)
    rest = [word for word in words if word not in asked]
    return rest + [
        word
        for place, of in changes.items()
        for word in _rebuilt(place, _elements(place, options), of)
    ]


def _named(words: Sequence[str]) -> Iterator[Named]:
    """Words that may be about one element of a list that a configuration gave."""
    given: set[str] = set()
    for word in words:
        if not word.startswith("--"):
            continue
        option = word[2:].partition("=")[0].replace(".init_args", "")
        match = WORD.match(f"--{option}")
        if match is None or (match["place"] in given and not _is_name(match["name"])):
            given.add(option.removesuffix("+"))
            continue
        value = word[2:].partition("=")[1:]
        behind = (match["option"] or "") + "".join(value)
        yield Named(word, match["place"], match["name"], behind if match["option"] else "")


def _is_name(name: str) -> bool:
    """Whether a name is an index, or that of a known class, with or without a number."""
    kind = re.sub(r"_\d+$", "", snake_case(name))
    return not name.isidentifier() or kind in map(snake_case, class_names(ELEMENTS))


def _elements(place: str, options: Namespace) -> list[Any]:
    value: Any = options
    for name in place.split("."):
        inner = value.get("init_args") if isinstance(value, Namespace) else None
        value = inner if isinstance(inner, Namespace) and name in inner else value
        value = value.get(name) if isinstance(value, Namespace) else None
    # A single callback or logger is one of a list as well.
    return value if isinstance(value, list) else [value] if isinstance(value, Namespace) else []


def _names(elements: Sequence[Any]) -> list[str]:
    names = []
    for element in elements:
        path = element.get("class_path") if isinstance(element, Namespace) else None
        given = (element.get("init_args") or {}).get("name") if path else None
        own = snake_case(str(path).rpartition(".")[2])
        # A logger's name is that of its folder.
        names.append(str(given) if given and "loggers" not in str(path) else own)
    return distinct_names(names)


def _chosen(word: Named, names: Sequence[str]) -> int | None:
    """The element that a word is about; ``None`` if it names none."""
    if (index := word.index) is not None:
        if not 0 <= index < len(names):
            raise FuseError(
                f"option {_shown(word)}: {word.place} has {_count(names)}, and none at {index}"
            )
        return _with_option(word, index, names)
    known = {name: place for place, name in enumerate(names)}
    name = word.name if word.name in known else snake_case(word.name)
    return _with_option(word, known[name], names) if name in known else None


def _with_option(word: Named, index: int, names: Sequence[str]) -> int:
    if not word.option:
        raise FuseError(
            f"option {_shown(word)} names an element of {word.place} and no option of it; give "
            f"one, such as --{word.place}.{names[index]}.OPTION, or the whole list as "
            f"--{word.place}='[...]'"
        )
    return index


def _one_of(word: Named, names: Sequence[str]) -> str:
    known = ", ".join(f"--{word.place}.{name}" for name in names)
    if word.option and (near := get_close_matches(snake_case(word.name), names, 1)):
        return f"{word.place} has no {word.name!r}; did you mean --{word.place}.{near[0]}?"
    option = ".".join(part for part in (word.name, word.option.partition("=")[0]) if part)
    return (
        f"option {_shown(word)} does not say which of {len(names)} {word.place} it changes; write "
        f"one of {known}, with .{option} behind it"
    )


def _shown(word: Named) -> str:
    return word.word[2:].partition("=")[0]


def _count(names: Sequence[str]) -> str:
    listed = ", ".join(f"{place} {name}" for place, name in enumerate(names))
    return f"{len(names)} element{'' if len(names) == 1 else 's'} ({listed})"


def _rebuilt(place: str, elements: Sequence[Any], changes: dict[int, list[str]]) -> Iterator[str]:
    """Words that give a list again, with each change behind the element that it is about.

    What stands behind an element is for the parser an option of the last one so far.
    """
    begun, sign = 0, "="
    for index in sorted(changes):
        yield f"--{place}{sign}{_text(elements[begun : index + 1])}"
        yield from (f"--{place}.{option}" for option in changes[index])
        begun, sign = index + 1, "+="
    if begun < len(elements):
        yield f"--{place}{sign}{_text(elements[begun:])}"


def _text(elements: Sequence[Any]) -> str:
    return json.dumps(
        [plain(each.as_dict() if isinstance(each, Namespace) else each) for each in elements],
        ensure_ascii=False,
        default=str,
    )
