"""Specifications of a search for prompts: what the assistant is told, seeds, and what is judged."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.regular import read_text
from fuse_lightning.utilities.terminal import quoted

logger = logging.getLogger(__name__)

OWN = ("facts", "formatting", "style")
"""Names of the specifications that come with the package."""
LARGEST = 2**20
"""Largest specification file, in bytes."""
PUBLISHED = {
    "custom_selection_criterion": "criterion",
    "custom_selection_criterion_yes_response": "yes",
    "custom_selection_criterion_no_response": "no",
    "custom_selection_criterion_examples": "judged",
}
"""Published keys whose field here has a shorter name."""


@dataclass(frozen=True)
class Judged:
    """Example of a judgement.

    Attributes:
        prompt: Prompt of the text.
        text: The text.
        answer: The right answer.
    """

    prompt: str
    text: str
    answer: Literal["yes", "no"]


@dataclass(frozen=True)
class Specification:
    """What an assistant that proposes prompts is told, seeds of the search, and what is judged.

    Attributes:
        system_start: Who the assistant is, and what it looks for.
        system_loop: How it shall use prompts with scores; only said once there are some.
        system_end: End of the system's turn.
        user_start: Begin of the user's turn.
        user_loop: Text before the prompts with scores; only said with them.
        user_end: The request, with the form of the reply. ``{count}`` stands for the number of
            prompts that are wanted.
        seed_demonstrations: Prompts that the search begins with.
        criterion: What a judge is asked about a prompt and a text; empty for no judge.
        yes: Words that say yes, in any case.
        no: Words that say no.
        judged: Examples for the judge: judgements, or plain texts that are shown to it.
    """

    system_start: str = ""
    system_loop: str = ""
    system_end: str = ""
    user_start: str = ""
    user_loop: str = ""
    user_end: str = ""
    seed_demonstrations: tuple[str, ...] = ()
    criterion: str = ""
    yes: tuple[str, ...] = ("yes",)
    no: tuple[str, ...] = ("no",)
    judged: tuple[Judged | str, ...] = ()


def read_specification(source: str | Path) -> Specification:
    """Specification from a JSON file, or one that comes with the package.

    Its keys are those of the published files, ``custom_selection_criterion`` and its kin among
    them, or the names of the fields. Unknown keys are named in a warning.

    Args:
        source: Path of the file, or "facts", "formatting" or "style".

    Raises:
        FuseError: If the file is missing or no JSON object, or a value is of a wrong type.

    >>> len(read_specification("style").seed_demonstrations)
    8
    """
    name = f"specification {quoted(source)}"
    place: Any = Path(source)
    if str(source) in OWN and not place.exists():
        place = files("fuse_lightning.diffing") / "specifications" / f"{source}.json"
    try:
        given = json.loads(read_text(place, LARGEST))
    except FileNotFoundError:
        raise FuseError(
            f"{name} is no file, nor one of {', '.join(OWN)}; give a path or one of these"
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else error
        raise FuseError(f"{name} cannot be read: {reason}; give a JSON file") from None
    if not isinstance(given, dict):
        raise FuseError(f"{name} holds {_kind(given)}; give a JSON object of texts and lists")
    return make_specification(given, name)


def make_specification(given: Mapping[str, Any], name: str = "specification") -> Specification:
    """Specification from keys and values.

    Args:
        given: Keys and values, as :func:`read_specification` takes them.
        name: What messages call it.

    Raises:
        FuseError: If a value is of a wrong type, or a key and its published form are both there.

    >>> make_specification({"custom_selection_criterion": "Is it a poem?"}).criterion
    'Is it a poem?'
    """
    taken: dict[str, Any] = {}
    unknown = []
    names = {field.name for field in fields(Specification)}
    for key, value in given.items():
        field = PUBLISHED.get(key, key)
        if field not in names:
            unknown.append(key)
        elif field in taken:
            raise FuseError(f"{name} has both {key!r} and its other form; leave one out")
        elif value is not None:
            taken[field] = _read(field, key, value, name)
    if unknown:
        logger.warning(
            "%s: unknown keys are not used: %s", name, ", ".join(map(quoted, unknown[:9]))
        )
    if criterion := taken.get("criterion"):
        _check_words(taken, criterion, name)
    return Specification(**taken)


def _check_words(taken: Mapping[str, Any], criterion: str, name: str) -> None:
    if not criterion.strip():
        raise FuseError(f"{name}: the criterion is blank; give a question, or leave it out")
    yes, no = (
        {word.strip().lower() for word in taken.get(side, (side,))} for side in ("yes", "no")
    )
    if not (all(yes) and all(no) and yes and no):
        raise FuseError(f"{name}: yes or no of the criterion has no word; give at least one each")
    if both := yes & no:
        raise FuseError(f"{name}: {min(both)!r} stands for both yes and no; leave one out")


def _read(field: str, key: str, value: Any, name: str) -> Any:
    """Value of a field, checked."""
    if field in ("seed_demonstrations", "yes", "no", "judged"):
        if field in ("yes", "no") and isinstance(value, str):
            value = [value]
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise FuseError(f"{name}: {key!r} is {_kind(value)}; it must be a list")
        return tuple(
            _item(field, each, f"{name}: item {n} of {key!r}") for n, each in enumerate(value)
        )
    if not isinstance(value, str):
        raise FuseError(f"{name}: {key!r} is {_kind(value)}; it must be a text")
    return value


def _item(field: str, value: Any, name: str) -> str | Judged:
    if isinstance(value, str):
        return value
    if field != "judged":
        raise FuseError(f"{name} is {_kind(value)}; it must be a text")
    keys = {"prompt", "text", "answer"}
    if not isinstance(value, dict) or {*value} != keys:
        raise FuseError(f"{name} must be a text, or an object of prompt, text and answer")
    if not all(isinstance(each, str) for each in value.values()):
        raise FuseError(f"{name} holds something else than texts; give texts")
    if value["answer"].strip().lower() not in ("yes", "no"):
        raise FuseError(f"{name} has the answer {value['answer']!r}; it must be yes or no")
    return Judged(**{**value, "answer": value["answer"].strip().lower()})


def _kind(value: Any) -> str:
    """Kind of a JSON value in plain words, with its article."""
    kinds = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "a truth value",
        type(None): "null",
    }
    return kinds.get(type(value), "a number")
