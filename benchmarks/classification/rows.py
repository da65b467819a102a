"""Optimizers of the classification benchmark, with options for one number of evaluations."""

from benchmarks.classification.runs import Row
from fuse_lightning.optimizers import (
    GCG,
    PEZ,
    AutoDAN,
    AutoPrompt,
    AutoPromptSGD,
    Demonstrations,
    FluentPrompt,
    RandomSearch,
)
from fuse_lightning.optimizers.racing import Racing
from fuse_lightning.search import BeamSearch, HistorySearch

MANY = 100_000
"""Steps that no budget lasts for."""
RESTARTS = 4


def all_rows(evaluations: int, examples: int, length: int, swaps: int) -> dict[str, Row]:
    """All optimizers.

    Args:
        evaluations: Pairs of a prompt and an example that each may score.
        examples: Examples of a step.
        length: Tokens of a prompt.
        swaps: Candidates of a step.
    """
    size = {"prompt_length": length}
    swapping = size | {"steps": MANY, "batch_size": swaps, "top_k": 64}
    # They score few prompts in a step, so that several entrants would leave most of the budget to
    # the races. The noise of FluentPrompt must have faded when the budget ends.
    moving = size | {
        "restarts": RESTARTS,
        "steps": max(2, evaluations // (RESTARTS * examples)),
        "racing": Racing(entrants=1),
    }
    return {
        "RandomSearch, one token": Row(
            RandomSearch, size | {"steps": MANY, "batch_size": swaps}, gradient=False
        ),
        "RandomSearch, all tokens": Row(
            RandomSearch,
            size | {"steps": MANY, "batch_size": swaps, "radius": length},
            gradient=False,
        ),
        "GCG, gradient at the prompt": Row(
            GCG, swapping | {"merge": 0, "gradient_samples": 0}, HistorySearch
        ),
        "GCG, smoothed": Row(GCG, swapping | {"merge": 0}, HistorySearch),
        "AutoPrompt": Row(AutoPrompt, size | {"steps": MANY, "top_k": swaps}),
        "AutoPrompt-SGD": Row(AutoPromptSGD, moving),
        "FluentPrompt": Row(FluentPrompt, moving, fluency=0.1),
        "PEZ": Row(PEZ, moving),
        "PEZ with fluency": Row(PEZ, moving, fluency=0.1),
        "AutoDAN": Row(
            AutoDAN,
            {"batch_size": max(2, swaps // 4), "steps": 2 * length},
            lambda: BeamSearch(4),
        ),
        "Demonstrations": Row(
            Demonstrations,
            {"count": 4, "steps": MANY, "batch_size": max(2, swaps // 3)},
            gradient=False,
        ),
    }
