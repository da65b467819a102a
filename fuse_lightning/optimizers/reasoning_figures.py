"""Figures of a search for reasoning prompts, for curves."""

from collections.abc import Sequence
from statistics import fmean

from fuse_lightning.data import Target
from fuse_lightning.objectives import Reasoning, State
from fuse_lightning.objectives.recalled import recalled
from fuse_lightning.optimizers.choice import Choice
from fuse_lightning.search import TargetSearch


def reasoning_figures(
    choice: Choice, targets: Sequence[Target], searches: Sequence[TargetSearch[State]]
) -> dict[str, float]:
    """Means over the best prompts: right answers on the examples that choose, and tokens.

    Only remembered chains count, so that nothing is written for it.

    Args:
        choice: Chooser of prompts, with the objective.
        targets: The targets of the batch.
        searches: Their searches.

    Returns:
        ``select/parse`` and ``select/read``, shares of right answers in the chains and behind the
        extractors, and ``train/prompt_tokens``; nothing without a term for reasoning.
    """
    term = next((each for each in choice.objective.terms if isinstance(each, Reasoning)), None)
    best = [(n, each.best.state) for n, each in enumerate(searches) if each.best is not None]
    if term is None or not best:
        return {}
    prompts = choice.objective.prompts([state for _, state in best], [n for n, _ in best])
    told = recalled(term, prompts, [choice.order(targets[n]) for n, _ in best])
    found = {"train/prompt_tokens": fmean(len(state) for _, state in best)}
    if known := [each for each in told if each is not None]:
        found["select/parse"] = fmean(each.right_parse for each in known)
        found["select/read"] = fmean(each.right_read for each in known)
    return found
