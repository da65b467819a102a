"""Default of revision: who reads edits, and how many prompts a step edits."""

from collections.abc import Sequence
from typing import NamedTuple

from fuse_lightning.engine.meter import position_operations
from fuse_lightning.models import FrozenModel
from fuse_lightning.objectives import Term

REVISED = 2
"""Prompts that each step edits, by default, where edits are cheap to read."""

OTHERS = 3
"""Edits that other models read for each that a writer would, where they are the cheap side."""


class Plan(NamedTuple):
    """How a step edits prompts, where it does.

    Attributes:
        likelihoods: Whether the writer reads edits; else all other models do.
        reads: Edits of each kind that are read for each one that is scored.
        share: Share of a step's candidates that are edits.
    """

    likelihoods: bool
    reads: int
    share: float


def plan(terms: Sequence[Term], likelihoods: Sequence[Term], reads: int) -> tuple[Plan, bool]:
    """How a step edits prompts, and whether that is cheap.

    An edit in the middle is worth its price where one side of the objective tells at little cost
    how good it is. So the writer reads where ``reads`` readings by it take at most the operations
    that the other models take to score an edit. The other models read, :data:`OTHERS` times as
    many, where the same holds the other way round. A scored edit costs the writer all words behind
    it, and growth costs it next to nothing, so that a large writer scores fewer of them.

    Args:
        terms: The terms of the objective, loaded.
        likelihoods: Those that are the writer's own likelihood.
        reads: Edits that the writer reads for each one that is scored; 0 for none.

    Returns:
        The plan, that of a cheap writer where neither side is cheap; and whether one is.
    """
    by_writer = Plan(True, reads, 0.5)
    writers = [model for term in likelihoods for model in term.models]
    if not writers or not reads:
        return by_writer, False
    known = {id(model) for model in writers}
    counted = [term for term in terms if term.weight]
    others = {
        id(model): model for term in counted for model in term.models if id(model) not in known
    }
    writing, scoring = _operations(writers[:1]), _operations([*others.values()])
    if reads * writing <= scoring:
        return by_writer, True
    # Over examples a prompt is many rows, and a chain or a sample must be written first.
    plain = all(term.examples is None and not term.chained and term.steady for term in counted)
    if others and plain and OTHERS * reads * scoring <= writing:
        return Plan(False, OTHERS * reads, 0.2), True
    return by_writer, False


def _operations(models: Sequence[FrozenModel]) -> float:
    """Operations of one position of all models."""
    return sum(position_operations(model.text_network) for model in models)
