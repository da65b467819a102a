"""SimplexDescent against a plain loop with autograd; its rules against plain loops."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from fuse_lightning.optimizers import SimplexDescent
from fuse_lightning.optimizers.descent_state import descent_of
from fuse_lightning.optimizers.simplex import LEAST, keep_largest, kept_count, of_size_one
from fuse_lightning.search import GreedySearch
from fuse_lightning.search.target_search import hash_seed
from tests.near import near
from tests.optimizers.labelled import TEXTS, LabelledTexts, Plain, term
from tests.optimizers.runs import fit

STEPS, CYCLE, SEED, RATE, MOMENTUM, ANCHOR = 10, 3, 4, 0.2, 0.5, 0.6
START = "two red stars above"


class Watched(SimplexDescent):
    """Also notes the nearest tokens of every step, and the best prompts before it."""

    def load(self, *args):
        super().load(*args)
        self.seen = []

    def _projected(self, targets):
        found = super()._projected(targets)
        self.seen.append(([each.tolist() for each in found], [*self.best]))
        return found


def watched(folders, folder, **options):
    module = Watched(
        [term(folders["gpt2"])],
        steps=STEPS,
        restarts=2,
        learning_rate=RATE,
        momentum=MOMENTUM,
        cycle=CYCLE,
        anchor=ANCHOR,
        initial_prompt=START,
        seed=SEED,
        **options,
    )
    fit(module, LabelledTexts(batch_size=2), folder, GreedySearch())
    return module


def plain_gradient(plain, name, ids, allowed):
    """Gradient of a target's loss at one-hot weights, by autograd through the mean embeddings."""
    weights = F.one_hot(torch.tensor(ids), len(plain.table)).to(plain.table).requires_grad_()
    with torch.enable_grad():
        (found,) = torch.autograd.grad(plain.loss(name, weights @ plain.table), weights)
    found = found[:, allowed]
    return found - found.mean(1, keepdim=True)


def plain_move(weights, velocity, gradient, move):
    """One move by loops: weights of the kept tokens at each position, and the velocity."""
    velocity = MOMENTUM * velocity + gradient / gradient.square().mean().sqrt()
    moved = weights - RATE * velocity
    count = math.ceil(round(moved.shape[1] ** (1 - move / CYCLE), 6))
    result = torch.zeros_like(moved)
    for place, row in enumerate(moved):
        kept = sorted(range(len(row)), key=lambda token: -float(row[token]))[:count]
        values = [max(float(row[token]), 0.0) + LEAST for token in kept]
        for token, value in zip(kept, values, strict=True):
            result[place, token] = value / sum(values)
    return result, velocity


def test_trajectory_equals_a_plain_loop_over_several_cycles(folders, tmp_path, double):
    module = watched(folders, tmp_path)
    plain, allowed = Plain(module.objective.primary), module.allowed_ids
    start = [*module.objective.encode_prompt(START)]
    for owner, name in enumerate(TEXTS):
        stream = torch.Generator().manual_seed(hash_seed(SEED, name))
        shape, visited = (2, len(start), len(allowed)), set()
        weights = torch.randn(shape, generator=stream).softmax(-1)
        weights[0] = F.one_hot(torch.searchsorted(allowed, torch.tensor(start)), len(allowed))
        velocity = torch.zeros(shape)
        for step, (tokens, best) in enumerate(module.seen):
            done = step % (CYCLE + 1)
            if step and not done:
                weights = torch.randn(shape, generator=stream).softmax(-1)
                kept = torch.rand(shape[:2], generator=stream) < ANCHOR
                for row, place in kept.nonzero().tolist():
                    if place < len(best[owner].state):
                        one = allowed == best[owner].state[place]
                        weights[row, place] = one.to(weights)
                velocity = torch.zeros(shape)
            ids = allowed[weights.argmax(-1)].tolist()
            assert tokens[owner] == ids
            visited |= {*map(tuple, ids)}
            for row in range(2 if done < CYCLE else 0):
                gradient = plain_gradient(plain, name, ids[row], allowed)
                given = weights[row], velocity[row], gradient, done + 1
                weights[row], velocity[row] = plain_move(*given)
            if done == CYCLE:
                assert (weights > 0).sum(-1).max() == 1
        assert len(visited) > 6


def test_gradient_is_that_of_finite_differences(folders, tmp_path, double):
    module = watched(folders, tmp_path)
    plain, allowed = Plain(module.objective.primary), module.allowed_ids
    name, state = "stars", module.objective.encode_prompt(START)
    module.objective.set_targets(LabelledTexts().all_targets()[:1])
    module.searches[0].step = 1
    gradient = module._gradient([state], [0], {})[0]
    table, small = plain.table, 1e-5
    for place, number in [(0, 3), (1, 40), (3, 7)]:
        toward = table[allowed[number]] - table[allowed].mean(0)
        points = table[torch.tensor(state)].repeat(2, 1, 1)
        points[:, place] += torch.tensor([[small], [-small]]) * toward
        with torch.no_grad():
            ahead, back = (float(plain.loss(name, each)) for each in points)
        assert float(gradient[place, number]) == near((ahead - back) / (2 * small), share=1e-4)


def test_reported_losses_are_those_of_the_texts(folders, tmp_path, double):
    module = watched(folders, tmp_path)
    plain = Plain(module.objective.primary)
    for result in module.results:
        state = module.objective.encode_prompt(result.prompt)
        assert result.loss == near(plain.loss_of(result.target, state))


def test_the_weight_of_a_term_changes_nothing(folders, tmp_path, double):
    """Gradients count at size one: a learning rate holds for any objective."""
    found = []
    for weight in (1.0, 1000.0):
        module = SimplexDescent(
            [term(folders["gpt2"], weight=weight)], steps=6, prompt_length=4, seed=SEED
        )
        fit(module, LabelledTexts(batch_size=2), tmp_path, GreedySearch())
        found.append([result.prompt for result in module.results])
    assert found[0] == found[1]


def test_weights_of_other_tokens_are_not_taken_back(folders, tmp_path):
    module = watched(folders, tmp_path)
    search = module.searches[0]
    descent_of(search)["iterate"] = descent_of(search)["iterate"][..., 1:]
    with pytest.raises(ValueError, match="weights are of other tokens or restarts"):
        module.take_back(search)


ROWS = st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=9)


@given(ROWS, st.integers(1, 9))
def test_the_largest_weights_are_kept_and_add_up_to_one(row, count):
    weights = torch.tensor(row, dtype=torch.float64)
    count = min(count, len(row))
    found = keep_largest(weights, count)
    assert float(found.sum()) == near(1)
    assert int((found > 0).sum()) == count
    kept = sorted(float(value) for value in weights[found > 0])
    assert kept == sorted(row)[len(row) - count :]
    whole = sum(max(value, 0) + LEAST for value in kept)
    for value, part in zip(row, found.tolist(), strict=True):
        assert part in (0, near((max(value, 0) + LEAST) / whole))


@given(st.integers(1, 60_000), st.integers(1, 200))
def test_the_number_of_kept_weights_falls_to_one(tokens, moves):
    counts = [kept_count(tokens, move, moves) for move in range(moves + 1)]
    assert counts == sorted(counts, reverse=True)
    assert (counts[0], counts[-1]) == (tokens, 1)


@given(st.floats(1e-6, 1e6))
def test_a_gradient_has_size_one_whatever_it_is_multiplied_with(factor):
    gradient = torch.tensor([[3.0, -1.0], [0.5, 2.0]], dtype=torch.float64)
    found = of_size_one(factor * gradient)
    assert float(found.square().mean()) == near(1)
    assert torch.allclose(found, of_size_one(gradient))
    assert not of_size_one(0 * gradient).any()
