"""Errors of the option parser, shortened to one line."""

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from importlib import import_module

from fuse_lightning.cli.own_classes import no_class, no_module, wrong_class
from fuse_lightning.cli.unfinished import unfinished
from fuse_lightning.errors import FuseError
from fuse_lightning.utilities.option_names import option
from fuse_lightning.utilities.words import snake_case

LONGEST_VALUE = 80
# Lines that name no mistake of the user: alternatives that jsonargparse tried, and its types.
NOISE = (
    "Does not validate against",
    "Subtypes:",
    "Errors:",
    "Given value",
    "Expected a <class 'NoneType'>",
    "Expected a path but",
    "Not a valid subclass of",
    "Subclass types expect",
    "a class path (str)",
    "a dict with",
)
# What YAML reads as no text where a text is wanted: `null`, `no`, `1e3`.
UNQUOTED = re.compile(
    r"expected (?:.*\W)?str\b.*, got '(?:None|True|False|[-+\d.]+(?:e[-+]?\d+)?)'"
)
# What jsonargparse stumbles over where a class is wanted and a list or a word is given.
STUMBLES = re.compile(
    r"unhashable type: .+|argument of type .+ is not iterable|.+ object has no attribute 'keys'"
)
TRIED = "lightning.Callback"
"""Class that jsonargparse tries for the options of every callback; it has none."""
LISTS = r"(?:\w+\.)*(?:terms|callbacks|logger)"
"""Pattern of the options that hold a list of instances of classes."""
ABSTRACT = re.compile(r"expected instantiatable class, but (?:(\S+) )?is abstract")


def explain(error: BaseException, otherwise: str | None = None) -> str:
    """One line about an error, for the user.

    An error of this package speaks for itself, however deep it lies; the text of any other is
    reduced to option, reason and remedy, or is ``otherwise``.
    """
    for cause in _chain(error):
        if isinstance(cause, FuseError):
            return str(cause)
    return otherwise or condense(
        getattr(error, "message", None) or str(error) or type(error).__name__
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def condense(message: str) -> str:
    r"""Option, reason and remedy of a message of jsonargparse; any other text as one line.

    >>> condense('Parser key "data.limit":\n  Expected a <class \'int\'>. Got value: few')
    "option data.limit: expected int, got 'few'"
    """
    keys: list[str] = []
    reasons: list[str] = []
    element: list[str] = []
    value, owner, base = "", "", ""
    for line in message.splitlines():
        text = line.strip().removeprefix("- ")
        if match := re.match(r'Parser key "(.+?)":\s*', text):
            # One mistake may be told twice.
            keys += [*element, match[1]] if match[1] not in keys[-1:] else []
            element, text = [], text[match.end() :]
        elif match := re.match(r"Problem with given class_path '(.+)':", text):
            owner, text = match[1], ""
            # Of a list's elements the class says which one is wrong.
            listed = re.fullmatch(LISTS, ".".join(keys))
            element = [snake_case(owner.rpartition(".")[2])] if listed else []
        elif text.startswith("Given value: "):
            value = value or text.removeprefix("Given value: ")
        elif match := re.match(r"Not a valid subclass of (\w+)", text):
            base = match[1]
        noise = owner == TRIED or text.startswith(NOISE) or STUMBLES.fullmatch(text)
        if text and not noise:
            reasons.append(_plain(text, owner))
    of = f" of a {base}" if base else ", and these by name"
    if any(ABSTRACT.fullmatch(reason) for reason in reasons):
        named = (ABSTRACT.fullmatch(reason) for reason in reasons)
        reasons = [unfinished(match[1] or value) for match in named if match]
    reasons = list(dict.fromkeys(reasons or [f"expected class_path and init_args{of}"]))
    # Of several types that were tried, the one that came furthest says what is wrong.
    if specific := [reason for reason in reasons if not reason.startswith("expected ")]:
        reason = "; ".join(specific)
    else:
        reason = " or ".join(
            [reasons[0], *(text.removeprefix("expected ") for text in reasons[1:])]
        )
        # A whole section, or the parser's own objects, would hide the reason.
        unclear = len(value) > LONGEST_VALUE or "Namespace(" in value or "NestedArg(" in value
        if value and not unclear and ", got " not in reason:
            reason += f", got {value!r}"
    if UNQUOTED.fullmatch(reason):
        reason += "; write a text in quotes"
    if keys in (["data"], ["model"]) and (missing := re.fullmatch(r"\w+ needs (\w+)", reason)):
        reason += f"; give --{keys[0]}.{missing[1]}"
    return f"option {option('.'.join(keys))}: {reason}" if keys else reason


def with_nearest(line: str, known: Iterable[str]) -> str:
    """The line about an unknown option, with the known one that is nearest.

    >>> line = "unknown option '--modell.steps=3'; --help lists all options"
    >>> with_nearest(line, ["model", "data", "trainer.max_steps"])
    "unknown option '--modell.steps=3'; did you mean --model.steps? --help lists all options"
    """
    match = re.match(r"unknown option '--([\w.]+).*?';", line)
    if match is None:
        return line
    names = [*known]
    first, dot, rest = match[1].partition(".")
    firsts = {name.partition(".")[0] for name in names}
    if dot and first not in firsts:
        near = [f"{each}.{rest}" for each in get_close_matches(first, firsts, 1)]
    else:
        near = get_close_matches(match[1], names, 1)
    return line if not near else line.replace(";", f"; did you mean --{near[0]}?", 1)


def shorten(text: str) -> str:
    """The text, cut after its beginning if it is long.

    >>> len(shorten("a" * 1000))
    81
    """
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}…"


def _plain(text: str, owner: str) -> str:
    name = owner.rpartition(".")[2]
    if match := re.fullmatch(r"Option '(.+)' is not accepted", text):
        known = _options(owner) if owner else []
        near = get_close_matches(match[1], known, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        has = f"{meant or ';'} it has: {', '.join(known)}" if owner else ""
        return f"{name or 'this'} has no option {match[1]!r}{has}"
    if match := re.fullmatch(r"Subcommand '(.+)' does not accept option '(.+)'", text):
        return f"unknown option {match[2]!r}; `fuse {match[1]} --help` lists all options"
    if match := re.fullmatch(r"unrecognized arguments: (.+)", text):
        return f"unknown option {shorten(match[1])!r}; --help lists all options"
    if match := re.fullmatch(r"the following arguments are required: (.+)", text):
        return (
            f"{name} needs {match[1]}"
            if name
            else f"missing options: {match[1]}; give them, or a --config that does"
        )
    if match := re.fullmatch(
        r"argument subcommand: invalid choice: (.+) \(choose from (.+)\)", text
    ):
        return f"unknown command {match[1]}; there are: {match[2]}"
    if match := re.fullmatch(r"No module named '(.+)'", text):
        return no_module(match[1])
    if match := re.fullmatch(r"Unexpected import path format: (.+)", text):
        return f"{shorten(match[1])!r} is no class; write module.Class"
    if match := re.fullmatch(r"Import path (\S+) does not correspond to a subclass of (.+)", text):
        return wrong_class(match[1], match[2])
    if match := re.fullmatch(r"(?:--(\S+): )?Expected a dot import path string: (.+)", text):
        return _no_class(match[2])
    if match := re.fullmatch(r"module '(.+)' has no attribute '(.+)'", text):
        return _no_class(f"{match[1]}.{match[2]}")
    if match := re.fullmatch(r"Expected an? (.+?)(?:\. Got value: (.*))?", text):
        kind = re.sub(r"<class '([\w.]+)'>", r"\1", match[1])
        kind = re.sub(r"typing\.Literal\[(.+?)\]", r"one of \1", kind)
        return f"expected {kind}" + ("" if match[2] is None else f", got {shorten(match[2])!r}")
    return text


def _options(class_path: str) -> list[str]:
    from fuse_lightning.cli.classes import options

    module, _, name = class_path.rpartition(".")
    return options(getattr(import_module(module), name))


def _no_class(name: str) -> str:
    # It loads torch, which the parser of such a name has done.
    from fuse_lightning.cli.classes import alike

    if line := no_class(name):
        return line
    meant = alike(name)
    remedy = (
        f"did you mean {meant}?" if meant else "check its spelling, --help lists the known ones"
    )
    return f"no class {name!r} is known; {remedy}"
