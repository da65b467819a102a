"""Forward-only screen: losses of prompts over the chains of another prompt."""

from collections.abc import Sequence

import torch
from torch import Tensor

from fuse_lightning.objectives import Objective, State
from fuse_lightning.objectives.reading import mean_of
from fuse_lightning.objectives.row_values import item_losses, row_values


@torch.no_grad()
def screened(
    objective: Objective,
    states: Sequence[State],
    parents: Sequence[State],
    owners: Sequence[int],
    count: int | None = None,
) -> Tensor:
    """Objective of prompts where the chains of others stand in place of their own.

    Nothing is decoded: the cross-entropy of the right answers tells of a prompt what one forward
    can (PMPO, arXiv 2505.16307). Chains that are unknown are written.

    Args:
        objective: The objective.
        states: N prompts.
        parents: The prompt whose chains each is read with.
        owners: Target of each.
        count: Examples of the step that are read, the first ones; ``None`` for all.

    Returns:
        Shape (N,), on the CPU; lower is better.
    """
    prompts = objective.prompts(states, owners)
    prompts.chains_of = objective.prompts(parents, owners)
    total = torch.zeros(len(states))
    plain = objective.scores.plain(prompts)
    for column, term in enumerate(objective.terms):
        if not term.weight:
            continue
        if term.examples is None:
            total += term.weight * plain[:, column]
            continue
        chosen = [term.numbers(owner)[:count] for owner in owners]
        reading = term.read(prompts, chosen)
        items = item_losses(term, reading, row_values(term, reading, term.loss))
        total += term.weight * mean_of(items, reading.pairs[:, 0], len(states)).cpu()
    return total


def best_screened(
    objective: Objective,
    groups: Sequence[Sequence[State]],
    parents: Sequence[State],
    owners: Sequence[int],
    count: int | None,
    most: int,
) -> list[list[State]]:
    """The best prompts of each group over the chains of its parent, best first.

    Args:
        objective: The objective.
        groups: Groups of prompts.
        parents: The prompt whose chains each group is read with.
        owners: Target of each group.
        count: Examples of the step that are read; ``None`` for all.
        most: How many prompts of each group.
    """
    sizes = [*map(len, groups)]
    if not any(sizes):
        return [[] for _ in groups]
    of = [number for number, size in enumerate(sizes) for _ in range(size)]
    losses = screened(
        objective,
        [state for group in groups for state in group],
        [parents[number] for number in of],
        [owners[number] for number in of],
        count,
    )
    return [
        [group[n] for n in told.argsort(stable=True)[:most].tolist()]
        for group, told in zip(groups, torch.split(losses, sizes), strict=True)
    ]
