"""Races of prompts: who is dropped, who wins, and what is computed."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Prompts
from fuse_lightning.optimizers.racing import Racing, race
from tests.near import assert_near


class Table:
    """Stand-in of an objective of two terms whose losses stand in a table.

    The second term has no examples.
    """

    def __init__(self, losses, plain, weights=(1.0, 0.5)):
        self.table, self.plain_losses, self.weights = losses, plain, weights
        self.terms = [
            SimpleNamespace(examples=[1], selects=weights[0]),
            SimpleNamespace(examples=None, selects=weights[1]),
        ]
        self.asked = []
        self.scores = SimpleNamespace(plain=self._plain, example_losses=self._losses)

    def _plain(self, prompts):
        rows = [state[0] for state in prompts.states]
        return torch.stack([torch.zeros(len(rows)), self.plain_losses[rows]], dim=1)

    def _losses(self, column, prompts, examples):
        cells = [
            (state[0], n)
            for state, some in zip(prompts.states, examples, strict=True)
            for n in some
        ]
        self.asked += cells
        return torch.stack([self.table[cell] for cell in cells])

    def total(self, losses):
        return losses @ torch.tensor(self.weights)


def prompts_of(owners):
    count = len(owners)
    return Prompts([(n,) for n in range(count)], owners, ["x"] * count, [True] * count)


def means(table, examples):
    return table.table[:, examples].mean(1) * table.weights[0] + (
        table.plain_losses * table.weights[1]
    )


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_without_dropping_a_race_gives_the_best_of_full_scoring(data):
    count = data.draw(st.integers(1, 9))
    examples = data.draw(st.integers(1, 40))
    owners = sorted(data.draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)))
    places = data.draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 2**20)))
    table = Table(
        torch.randn(count, examples, generator=generator), torch.randn(count, generator=generator)
    )
    numbers = [torch.randperm(examples, generator=generator).tolist() for _ in range(3)]
    found = race(
        table,
        prompts_of(owners),
        numbers,
        places,
        Racing(block=data.draw(st.integers(2, 8)), alpha=0),
    )
    full = means(table, [*range(examples)])
    for owner in range(3):
        own = [row for row in range(count) if owners[row] == owner]
        best = sorted(own, key=lambda row: float(full[row]))[:places]
        assert [row for row in found.rows if owners[row] == owner] == best
    assert_near(table.total(found.losses), full[found.rows], size=1.0, share=1e-5)
    assert len(table.asked) == len({*table.asked}) == count * examples


def test_clearly_worse_prompts_meet_few_examples():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, 200, generator=generator)
    gaps = torch.tensor([[0.0], [1.0], [2.0], [0.02]])
    own = 0.1 * torch.randn(4, 200, generator=generator)
    table = Table(noise + gaps + own, torch.zeros(4))
    found = race(table, prompts_of([0] * 4), [[*range(200)]], 1, Racing(block=10))
    assert found.rows == [0]
    met = [sum(row == n for row, _ in table.asked) for n in range(4)]
    assert met[0] == 200
    assert met[1] == met[2] == 10


def test_as_many_others_as_places_must_be_better():
    table = Table(torch.tensor([[0.0], [1.0], [2.0], [3.0]]).repeat(1, 20), torch.zeros(4))
    noise = 0.01 * torch.randn(4, 20, generator=torch.Generator().manual_seed(1))
    table.table += noise
    found = race(table, prompts_of([0] * 4), [[*range(20)]], 2, Racing(block=10))
    assert found.rows == [0, 1]
    assert [sum(row == n for row, _ in table.asked) for n in range(4)] == [20, 20, 10, 10]


def test_targets_race_apart_and_may_have_fewer_examples():
    table = Table(torch.tensor([[1.0], [0.0], [5.0], [6.0]]).repeat(1, 30), torch.zeros(4))
    found = race(table, prompts_of([0, 0, 1, 1]), [[*range(30)], [3, 4]], 1, Racing(block=4))
    assert sorted(found.rows) == [1, 2]
    assert {n for row, n in table.asked if row > 1} == {3, 4}


def test_a_prompt_that_cannot_be_read_loses():
    losses = torch.zeros(2, 8)
    losses[0] = torch.inf
    found = race(
        Table(losses, torch.zeros(2)), prompts_of([0, 0]), [[*range(8)]], 1, Racing(block=2)
    )
    assert found.rows == [1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"entrants": 0}, "racing.entrants is 0; it must be at least 1"),
        ({"block": 1}, "racing.block is 1; it must be at least 2"),
        ({"alpha": 1.0}, "racing.alpha is 1.0; it must be from 0 to below 1"),
        ({"alpha": float("nan")}, "racing.alpha is nan"),
    ],
)
def test_options_out_of_their_range_are_refused(options, message):
    with pytest.raises(FuseError, match=message):
        Racing(**options)
