"""Check whether the terms of an objective read the targets, or minimize the same for all."""

from collections.abc import Sequence
from copy import copy
from typing import Any

from fuse_lightning.data import Target
from fuse_lightning.objectives.term import Term


def is_blind(terms: Sequence[Term], targets: Sequence[Target]) -> bool:
    """Whether no term reads any target, so that all targets have the same objective.

    Args:
        terms: Terms whose models are loaded.
        targets: The targets of the search.
    """
    return not any(term.reads_targets(targets) and _looks(term, targets[0]) for term in terms)


class _Watched(Target):
    """Target that records that somebody read it."""

    def __getattribute__(self, name: str) -> Any:
        if not name.startswith("__"):
            object.__getattribute__(self, "__dict__")["was_read"] = True
        return object.__getattribute__(self, name)


def _looks(term: Term, target: Target) -> bool:
    """Whether a term of a user's own class reads a target; those of the package say so themselves.

    A copy of the term is given the target. What cannot be found out counts as read.
    """
    if type(term).__module__.startswith("fuse_lightning."):
        return True
    watched = copy(target)
    watched.__class__ = _Watched
    try:
        asked = copy(term)
        asked.set_targets([watched])
        for example in range((asked.examples or [1])[0]):
            asked.contents(0, example)
    except Exception:
        return True
    return "was_read" in vars(watched) or _holds(vars(asked), watched)


def _holds(value: Any, target: Target) -> bool:
    """Whether a target is kept somewhere in plain containers, to be read later."""
    if isinstance(value, dict):
        return any(_holds(each, target) for each in value.values())
    if isinstance(value, list | tuple):
        return any(_holds(each, target) for each in value)
    return value is target
