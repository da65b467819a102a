"""Sets of candidates for races: prompts of a search, and their losses for single examples."""

import tempfile
from collections.abc import Sequence
from dataclasses import astuple, dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from benchmarks.classification.runs import Draw, Row, fit, kept
from benchmarks.classification.tasks import Task
from fuse_lightning.objectives import Prompts, State
from fuse_lightning.optimizers import GCG
from fuse_lightning.optimizers.minibatches import choosing
from fuse_lightning.optimizers.racing import Racing, race
from fuse_lightning.search import HistorySearch

RANDOM = 8
"""Candidates of each set that are random ones: the worse half of a search's first steps."""


@dataclass(frozen=True)
class Plan:
    """Sizes of the races.

    Attributes:
        sets: Number of candidate sets by which settings are chosen, and of those that report.
        candidates: Prompts of a set.
        sizes: Train examples of each class, select examples, test examples (which nothing reads).
        evaluations: Budget of the search that a set comes from.
        examples: Examples of a step.
        length: Tokens of a prompt.
        swaps: Candidates of a step.
    """

    sets: int = 20
    candidates: int = 48
    sizes: tuple[int, int, int] = (16, 96, 100)
    evaluations: int = 4096
    examples: int = 16
    length: int = 8
    swaps: int = 32


QUICK = Plan(2, 12, (4, 16, 8), 64, 4, 4, 6)


class Recorded(GCG):
    """GCG that remembers the candidates of its steps, best first."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.seen: list[list[State]] = []

    def score(self, proposed: list[list[State]]) -> Any:
        scored = super().score(proposed)
        self.seen.append([state for _, state in sorted(scored[0])])
        return scored


def candidates(seen: Sequence[Sequence[State]], count: int) -> list[State]:
    """Prompts of a search, as they would come to its races: random ones first, the last at the end.

    >>> candidates([[(1,), (2,), (3,)], [(4,), (1,)], [(5,), (4,)]], 4)
    [(2,), (1,), (4,), (5,)]

    Args:
        seen: Candidates of each step, best first.
        count: Number of prompts.
    """
    tail = [state for step in seen for state in step[len(step) // 2 :]]
    random = [*dict.fromkeys(tail)][: min(RANDOM, count // 4)]
    places = range(max(map(len, seen)))
    best = dict.fromkeys(step[place] for place in places for step in seen if place < len(step))
    chosen = {state for state in best if state not in random}
    wanted = [state for state in best if state in chosen][: count - len(random)]
    order = dict.fromkeys(state for step in seen for state in step)
    return [*random, *(state for state in order if state in {*wanted})]


def losses(task: Task, plan: Plan, seed: int, keep: Path | None) -> Tensor:
    """Losses of the candidates of one set, in the order in which races meet the examples.

    Args:
        task: The task.
        plan: The sizes.
        seed: Seed of the examples and of the search.
        keep: Folder of found losses, kept and taken up again.

    Returns:
        Shape (candidates, select examples).
    """
    found = kept(
        keep and keep / "racing" / f"{task.name}-{seed}.json",
        [*astuple(replace(plan, sets=0)), *task.settings],
        lambda: scored(task, plan, seed).tolist(),
    )
    print("set", seed, flush=True)
    return torch.tensor(found)


def scored(task: Task, plan: Plan, seed: int) -> Tensor:
    """A search's candidates with their losses, computed."""
    row = Row(
        Recorded,
        {"batch_size": plan.swaps, "top_k": 64, "gradient_samples": 0},
        HistorySearch,
    )
    shared = {
        "max_evaluations": plan.evaluations,
        "examples_per_step": plan.examples,
        "prompt_length": plan.length,
        "steps": 1000,
    }
    with tempfile.TemporaryDirectory() as name:
        module = fit(row, Draw(task, plan.sizes, seed), Path(name), shared)
        target, *_ = module.trainer.datamodule.targets
    module.objective.set_targets([target])
    states = candidates(module.seen, plan.candidates)
    prompts = module.objective.prompts(states, [0] * len(states))
    numbers = choosing(target, seed)
    found = module.objective.scores.example_losses(0, prompts, [numbers] * len(states))
    return found.view(len(states), len(numbers))


class Told:
    """Objective whose losses are known, and that counts those it is asked for.

    Args:
        losses: Losses of prompts for examples, shape (N, E).
    """

    def __init__(self, losses: Tensor) -> None:
        self.losses = losses
        self.asked: set[tuple[int, int]] = set()
        self.terms = [SimpleNamespace(examples=[losses.shape[1]])]
        self.scores = self

    def plain(self, prompts: Prompts) -> Tensor:
        return torch.zeros(len(prompts.states), 1)

    def example_losses(
        self, column: int, prompts: Prompts, examples: Sequence[Sequence[int]]
    ) -> Tensor:
        cells = [
            (state[0], number)
            for state, some in zip(prompts.states, examples, strict=True)
            for number in some
        ]
        self.asked.update(cells)
        return torch.stack([self.losses[cell] for cell in cells])

    def total(self, losses: Tensor) -> Tensor:
        return losses.sum(1)


def chosen(told: Told, rows: Sequence[int], settings: Racing) -> int:
    """The prompt that a race for one place chooses among some rows."""
    count = len(rows)
    prompts = Prompts(
        [(row,) for row in rows], [0] * count, [str(row) for row in rows], [True] * count
    )
    examples = [range(told.losses.shape[1])]
    finish = race(told, prompts, examples, 1, settings)  # type: ignore[arg-type]
    return rows[finish.rows[0]]
