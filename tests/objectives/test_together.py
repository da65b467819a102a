"""Losses and gradients that several processes compute together; threads stand in for them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier
from typing import Any

import pytest
import torch

from fuse_lightning.data import Target
from fuse_lightning.objectives import Classification, Fluency, Objective, embedding_gradient
from fuse_lightning.objectives.scores import together
from fuse_lightning.utilities.processes import Team
from tests.near import assert_near

EXAMPLES = [
    {"text": "a lovely red star", "label": "good"},
    {"text": "an ugly box", "label": "bad"},
    {"text": "two tiles at night", "label": "bad"},
]
LABELS = {"good": ["fine"], "bad": ["sad"]}


@dataclass(frozen=True)
class Threads(Team):
    """Team of threads.

    Attributes:
        barrier: Where they wait for each other.
        values: What each of them gives.
    """

    barrier: Any = None
    values: dict[int, Any] = field(default_factory=dict)

    def gather(self, value):
        self.values[self.rank] = value
        self.barrier.wait()
        found = [self.values[rank] for rank in range(self.size)]
        self.barrier.wait()
        return found

    def first(self, value):
        return self.gather(value)[0]


def built(examples):
    terms = [Classification("zoo/gpt2", "{text} {prompt} It was{answer}"), Fluency("zoo/gpt2")]
    objective = Objective(terms)
    objective.load()
    objective.set_targets([Target("a", examples=EXAMPLES[:examples], labels=LABELS)])
    return objective


def told(objective, prompts, team=None):
    """Losses, gradients and how many rows were scored and differentiated."""
    states = objective.encode_prompts(prompts)
    given = objective.prompts(states, [0] * len(states))
    term = objective.terms[0]
    rows, loss = [0, 0], term.loss

    def counted(reading, embeds=None):
        rows[embeds is not None] += len(reading)
        return loss(reading, embeds)

    term.loss = counted
    with together(objective.scores, team or Team()):
        losses = objective.losses(given)
        scored = rows[0]
        objective.scores.forget()
        gradient, at_gradient = embedding_gradient(objective, given)
        # What the gradient told is known to all.
        known = rows[0]
        assert_near(objective.losses(given), losses, share=1e-5)
        assert rows[0] == known
    return losses, gradient, at_gradient, scored, rows[1]


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.parametrize(
    ("prompts", "examples"),
    [(["a small red", "two dots above", "box", "so"], 3), (["night"], 1), (["sea", "at night"], 2)],
)
def test_each_row_is_read_by_one_and_all_know_the_same(size, prompts, examples):
    losses, gradient, at_gradient, scored, rows = told(built(examples), prompts)
    barrier, values = Barrier(size, timeout=100), {}
    teams = [Threads(rank, size, barrier, values) for rank in range(size)]
    objectives = [built(examples) for _ in teams]
    with ThreadPoolExecutor(size) as pool:
        found = [*pool.map(lambda *given: told(given[0], prompts, given[1]), objectives, teams)]
    assert sum(each[3] for each in found) == scored
    assert sum(each[4] for each in found) == rows
    assert max(each[4] for each in found) <= -(-rows // size)
    for ours in found:
        assert_near(ours[0], losses, share=1e-5)
        assert_near(ours[1], gradient, share=1e-5)
        assert_near(ours[2], at_gradient, share=1e-5)
        # To the last digit, as decisions follow from it.
        assert all(torch.equal(ours[part], found[0][part]) for part in range(3))


def test_a_team_that_was_left_computes_alone():
    objective = Objective([Classification("zoo/gpt2")])
    with pytest.raises(KeyError), together(objective.scores, Team(1, 2)):
        raise KeyError
    assert objective.scores.team == objective.scores.by_example[0].team == Team()
