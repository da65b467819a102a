"""Default of revision: how many prompts a step edits where no option says it."""

from collections.abc import Sequence

from fuse_lightning.engine.meter import position_operations
from fuse_lightning.objectives import Term

REVISED = 2
"""Prompts that each step edits, by default, where edits are cheap to read."""


def default_revision(terms: Sequence[Term], likelihoods: Sequence[Term], reads: int) -> int:
    """Number of prompts that each step edits by default.

    An edit in the middle is worth its price where the writer tells at little cost how likely the
    words behind it are. So prompts are edited where the ``reads`` readings of the writer for each
    scored edit take at most the operations that the other models take to score it. A writer that
    is larger than that would make a step many times slower, and prompts only grow.

    Args:
        terms: The terms of the objective, loaded.
        likelihoods: Those that are the writer's own likelihood.
        reads: Edits that the writer reads for each one that is scored; 0 for none.

    Returns:
        :data:`REVISED` or 0; 0 too where nothing is read.
    """
    writers = [model for term in likelihoods for model in term.models]
    if not writers or not reads:
        return 0
    known = {id(model) for model in writers}
    others = {
        id(model): model
        for term in terms
        if term.weight
        for model in term.models
        if id(model) not in known
    }
    scoring = sum(position_operations(model.text_network) for model in others.values())
    return REVISED if reads * position_operations(writers[0].text_network) <= scoring else 0
