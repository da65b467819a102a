"""Rehearsal of a search: one step on a copy, which tells what the steps will cost."""

import time
from collections.abc import Callable
from copy import deepcopy
from types import SimpleNamespace
from typing import Any, TypeVar

import lightning as L
import torch

from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.search.beam import GreedySearch
from fuse_lightning.search.lightning_glue import frontiers_of
from fuse_lightning.search.module import SearchModule
from fuse_lightning.search.plan import Cost, Plan

T = TypeVar("T")
FIRST, NEXT = 8, 16
"""Candidates that are scored in turn: as many as enter a race, and some to measure."""
SHORT = 2.0
"""Seconds of a proposal that is measured again, as the first one prepares much."""


class CopyError(FuseError):
    """Error of a search that keeps something which cannot be copied."""


def copy_of(module: SearchModule[Any], trainer: L.Trainer) -> SearchModule[Any]:
    """Copy of a search before its first step, with a frontier of its own.

    What the search says that copies share is not copied, such as frozen models.

    Args:
        module: The search, loaded.
        trainer: Its trainer, which the copy does not have.

    Raises:
        CopyError: If the search keeps something that cannot be copied.
    """
    given = frontiers_of(trainer)
    shared = [*module.shared(), module.folder]
    memo: dict[int, Any] = {id(each): each for each in shared}
    try:
        frontier = deepcopy(given[0], memo) if given else GreedySearch[Any]()
        memo[id(trainer)] = SimpleNamespace(callbacks=[frontier])
        copied = deepcopy(module, memo)
    except (RuntimeError, TypeError) as error:
        raise CopyError(
            f"{type(module).__name__} cannot be copied for a check ({error}); its method shared "
            "can name what copies use too"
        ) from error
    copied.trainer = memo[id(trainer)]
    copied.forget_searches()
    return copied


@torch.no_grad()
def rehearse(search: SearchModule[Any], target: Target) -> Plan:
    """Plan of a search, by one step on a target.

    Of a step's candidates some are scored, and the others taken to cost as much.

    Args:
        search: A copy of the search, which is of no use afterwards.
        target: The target.
    """
    _, start = _measured(search, lambda: search._regroup([target]))
    search.searches[0].step = 1
    states, begun = _measured(search, lambda: _begin(search))
    proposed, proposing = _measured(search, lambda: search.propose(states))
    if proposing.seconds < SHORT:
        proposed, again = _measured(search, lambda: search.propose(states))
        proposing = min(proposing, again, key=lambda cost: cost.seconds)
    candidates = [*proposed[0]]
    first, rest = candidates[:FIRST], candidates[FIRST : FIRST + NEXT]
    if len(candidates) < FIRST + NEXT:
        first, rest = [], candidates
    _, before = _measured(search, lambda: search.score([first]))
    scored, scoring = _measured(search, lambda: search.score([rest]))
    refined = search.refine(scored)[0]
    count = len(candidates) + len(refined)
    if rest:
        scoring = scoring * _times(before, scoring, len(first), len(rest), count)
    return Plan(count, start, begun + proposing + scoring, search.limits)


def _begin(search: SearchModule[Any]) -> list[list[Any]]:
    search.begin_step([0])
    search.expanded = search.frontier.expand()
    return search.expanded


def _times(before: Cost, scoring: Cost, first: int, rest: int, count: int) -> float:
    """How many times as much as the measured candidates all those of a step cost.

    What a step costs whatever its candidates, such as a race of the best, counts once.
    """
    if not first or not scoring.evaluations:
        return count / rest
    each = max(0.0, (scoring.evaluations - before.evaluations) / (rest - first))
    return 1 + each * (count - rest) / scoring.evaluations


def _measured(search: SearchModule[Any], call: Callable[[], T]) -> tuple[T, Cost]:
    """What a function returns, and its cost."""
    evaluated = sum(each.evaluations for each in search.searches)
    before, begin = search.spent(), time.perf_counter()
    found = call()
    seconds, now = time.perf_counter() - begin, search.spent()
    evaluations = sum(each.evaluations for each in search.searches) - evaluated
    work = now.tokens - before.tokens, now.flops - before.flops
    return found, Cost(evaluations, work[0], seconds, work[1])
