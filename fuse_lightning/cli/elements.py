"""Refusal of options that would change one element of a list, such as one of several terms."""

import re
from collections.abc import Sequence
from typing import Any

from jsonargparse import Namespace

from fuse_lightning.errors import FuseError

INDEX = re.compile(r"--((?:\w+\.)*(?:terms|callbacks|logger))(?:\.\d+|\[\d+\])(?=[.=]|$)")
REMEDY = "change it in a YAML file, or give the whole list"


def check_indices(words: Sequence[str]) -> None:
    """Refuses options with an index, such as ``--model.terms.0.weight``.

    Raises:
        FuseError: If there is one.
    """
    for word in words:
        if match := INDEX.match(word):
            name = word[2:].partition("=")[0]
            raise FuseError(
                f"option {name}: an element of {match[1]} has no name on the command line; "
                f"{REMEDY} as --{match[1]}='[...]'"
            )


def check_elements(words: Sequence[str], options: Namespace) -> None:
    """Refuses options that would change the last element of a list that a configuration gave.

    The parser takes ``--model.terms.weight`` for one of the last term. That is meant where the
    command line has given this term just before.

    Args:
        words: The command line.
        options: The parsed options.

    Raises:
        FuseError: If there is such an option, and the list has several elements.
    """
    given: set[str] = set()
    for word in words:
        if not word.startswith("--"):
            continue
        name = word[2:].partition("=")[0].replace(".init_args", "")
        place, count = _list_on_the_way(name.split("."), options)
        if count > 1 and place not in given:
            raise FuseError(
                f"option {name} would change the last of {count} {place} alone; {REMEDY} as "
                f"--{place}='[...]'"
            )
        given.add(name.removesuffix("+"))


def _list_on_the_way(names: Sequence[str], value: Any) -> tuple[str, int]:
    """Name of the list that an option's path enters, and its length; 0 if there is none."""
    for depth, name in enumerate(names):
        if isinstance(value, list):
            return ".".join(names[:depth]), len(value)
        inner = value.get("init_args") if isinstance(value, Namespace | dict) else None
        if isinstance(inner, Namespace | dict) and name in inner:
            value = inner
        if not isinstance(value, Namespace | dict):
            break
        value = value.get(name)
    return "", 0
