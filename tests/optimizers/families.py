"""Every optimizer and frontier, for tests of what holds for all of them."""

from functools import partial

from fuse_lightning.optimizers import (
    GCG,
    PEZ,
    AutoDAN,
    AutoPrompt,
    AutoPromptSGD,
    FluentPrompt,
    RandomSearch,
    SimplexDescent,
)
from fuse_lightning.search import BeamSearch, GreedySearch, HistorySearch, UniformCostSearch
from tests.optimizers.runs import build

STEPS = 5
OPTIMIZERS = {
    "autodan": partial(build, AutoDAN, steps=STEPS, batch_size=6, gradient_samples=4, revise=2),
    "gcg": partial(
        build,
        GCG,
        steps=STEPS,
        batch_size=8,
        top_k=12,
        n_replace=3,
        n_replace_end=1,
        merge=3,
        prompt_length=4,
        gradient_samples=3,
    ),
    "l0": partial(build, RandomSearch, steps=STEPS, batch_size=8, radius=2, prompt_length=4),
    "l2": partial(
        build,
        RandomSearch,
        steps=STEPS,
        batch_size=8,
        search_ball="L2",
        neighbours=9,
        initial_prompt="two red stars",
    ),
    "pez": partial(
        build,
        PEZ,
        steps=STEPS,
        restarts=3,
        polish_steps=2,
        batch_size=6,
        top_k=12,
        prompt_length=4,
        gradient_samples=3,
    ),
    "autoprompt": partial(build, AutoPrompt, steps=STEPS, top_k=8, prompt_length=4),
    "autoprompt_sgd": partial(
        build, AutoPromptSGD, steps=STEPS, restarts=3, learning_rate=30.0, prompt_length=4
    ),
    "fluent_prompt": partial(
        build,
        FluentPrompt,
        steps=STEPS,
        restarts=3,
        learning_rate=0.1,
        polish_steps=2,
        batch_size=6,
        top_k=12,
        prompt_length=4,
        gradient_samples=3,
    ),
    "simplex": partial(
        build,
        SimplexDescent,
        steps=STEPS,
        restarts=3,
        cycle=1,
        anchor=0.5,
        polish_steps=1,
        batch_size=6,
        top_k=12,
        prompt_length=4,
        gradient_samples=3,
    ),
}
STRATEGIES = {
    "greedy": GreedySearch,
    "beam": lambda: BeamSearch(3),
    "uniform cost": lambda: UniformCostSearch(8),
    "history": lambda: HistorySearch(4, 2),
}
