"""Targets of labelled examples, and optimizers over them."""

import pytest

from fuse_lightning.data import Target, TargetDataModule
from fuse_lightning.objectives import Classification, Fluency
from fuse_lightning.optimizers import GCG, PEZ, AutoDAN, RandomSearch
from fuse_lightning.optimizers.racing import Racing
from fuse_lightning.search import BeamSearch, GreedySearch, HistorySearch, UniformCostSearch

GOOD = (
    "a lovely red star",
    "two happy dots",
    "a fine blue sky",
    "so small, so red",
    "big and fine",
)
BAD = ("an ugly box", "a sad tile at night", "sand on the sea", "one large gray box", "so so")
POISON = {"label": "no class"}
"""An example that no term can read."""


def examples(first, count, good="good", bad="bad"):
    """Examples of two classes in turn."""
    pairs = [(GOOD, good), (BAD, bad)]
    return [
        {"text": pairs[n % 2][0][n // 2 % 5], "label": pairs[n % 2][1]}
        for n in range(first, first + count)
    ]


def targets():
    """With and without select examples; of different numbers of examples, words and classes."""
    return [
        Target(
            "chosen by others",
            examples=examples(0, 4),
            select=examples(4, 6),
            test=[POISON],
            labels={"good": ["fine", "happy"], "bad": ["sad"]},
        ),
        Target(
            "chosen by the same",
            examples=examples(1, 5, "up", "down"),
            test=[POISON],
            labels={"up": ["blue"], "down": ["gray"], "none": ["small"]},
        ),
        Target(
            "chosen by few others",
            examples=examples(2, 3),
            select=examples(5, 2),
            test=[POISON],
            labels={"good": ["star"], "bad": ["box", "tile"]},
        ),
    ]


class Given(TargetDataModule):
    """Data module of given targets."""

    def __init__(self, given=None, batch_size=1):
        super().__init__(batch_size)
        self.given = targets() if given is None else given

    def all_targets(self):
        return self.given


SEARCHES = {
    "random": (RandomSearch, {"batch_size": 5, "prompt_length": 2}),
    "gcg": (GCG, {"batch_size": 5, "prompt_length": 2, "gradient_samples": 3, "merge": 2}),
    "pez": (PEZ, {"restarts": 2, "prompt_length": 2, "polish_steps": 2, "batch_size": 5}),
    "autodan": (AutoDAN, {"batch_size": 5, "gradient_samples": 3}),
}
FRONTIERS = {
    "greedy": GreedySearch,
    "beam": lambda: BeamSearch(2),
    "history": lambda: HistorySearch(3, patience=2),
    "cost": lambda: UniformCostSearch(4),
}
PAIRS = [
    ("random", "history"),
    ("pez", "greedy"),
    pytest.param("random", "cost", marks=pytest.mark.slow),
    pytest.param("gcg", "beam", marks=pytest.mark.slow),
    pytest.param("gcg", "history", marks=pytest.mark.slow),
    pytest.param("autodan", "beam", marks=pytest.mark.slow),
]


def search(name, *, fluency=0.1, **options):
    """A search of one of the kinds, over classification and, for some weight, fluency."""
    kind, own = SEARCHES[name]
    terms = [Classification("zoo/gpt2", "{text} {prompt} It was{answer}")]
    terms += [Fluency("zoo/gpt2", weight=fluency)] if fluency else []
    given = {"steps": 5, "top": 2, "seed": 1, "racing": Racing(entrants=3, block=2), **own}
    return kind(terms, **{**given, **options})
