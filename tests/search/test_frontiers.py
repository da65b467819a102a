"""Frontiers against brute force over a small vocabulary."""

import heapq
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.errors import FuseError
from fuse_lightning.search import (
    BeamSearch,
    GreedySearch,
    HistorySearch,
    UniformCostSearch,
    distinct,
)

VOCABULARY = range(4)
DEPTH = 4


def landscape(seed):
    """A random loss for every state over the vocabulary."""
    generator = torch.Generator().manual_seed(seed)
    states = [s for length in range(1, DEPTH + 1) for s in product(VOCABULARY, repeat=length)]
    # Few distinct values, so that ties occur.
    values = torch.randint(0, 30, (len(states),), generator=generator).tolist()
    return dict(zip(states, map(float, values), strict=True))


def run(frontier, landscapes, steps):
    """Grows states token by token; returns every step's frontiers."""
    frontier.start([[()] for _ in landscapes])
    history = []
    for _ in range(steps):
        candidates = []
        for losses, states in zip(landscapes, frontier.expand(), strict=True):
            children = [(*state, token) for state in states for token in VOCABULARY]
            candidates.append([(losses[child], child) for child in children if child in losses])
        frontier.update(candidates)
        history.append([list(each) for each in frontier.frontiers])
    return history


def beam_by_brute_force(losses, width, steps, siblings=None):
    beam, history = [()], []
    for _ in range(steps):
        ranked = []
        for state in beam:
            children = [(*state, token) for token in VOCABULARY]
            family = sorted((losses[child], child) for child in children if child in losses)
            ranked += [(rank >= (siblings or rank + 1), *each) for rank, each in enumerate(family)]
        best = sorted((loss, child) for _, loss, child in sorted(ranked)[:width])
        beam = [state for _, state in best]
        history.append(best)
    return history


def uniform_cost_by_brute_force(losses, size, steps):
    queue, done, history = [(float("inf"), ())], set(), []
    for _ in range(steps):
        if queue:
            _, state = heapq.heappop(queue)
            done.add(state)
            for token in VOCABULARY:
                child = (*state, token)
                if child in losses and child not in done and (losses[child], child) not in queue:
                    heapq.heappush(queue, (losses[child], child))
        queue = heapq.nsmallest(size, queue)
        history.append(list(queue))
    return history


seeds = st.lists(st.integers(0, 10**6), min_size=1, max_size=3)


@settings(max_examples=50, deadline=None)
@given(seeds, st.integers(1, 70), st.integers(1, 3))
def test_a_beam_holds_few_siblings_as_long_as_others_fill_it(seeds, width, siblings):
    landscapes = [landscape(seed) for seed in seeds]
    history = run(BeamSearch(width, siblings), landscapes, DEPTH)
    for target, losses in enumerate(landscapes):
        expected = beam_by_brute_force(losses, width, DEPTH, siblings)
        assert [step[target] for step in history] == expected


def test_candidates_that_extend_nothing_have_no_siblings():
    beam = BeamSearch(3, siblings=1)
    beam.start([[(1, 2)]])
    swaps = [(3.0, (1, 3)), (2.0, (1, 4)), (1.0, (1, 5)), (4.0, (1, 2, 6))]
    beam.update([swaps])
    assert beam.frontiers == [[(1.0, (1, 5)), (2.0, (1, 4)), (3.0, (1, 3))]]


def test_a_beam_of_texts_is_as_wide_with_a_limit_of_siblings():
    beam = BeamSearch(2, siblings=1)
    beam.start([["re"]])
    beam.update([[(1.0, "red"), (2.0, "rea")]])
    assert beam.frontiers == [[(1.0, "red"), (2.0, "rea")]]


@settings(max_examples=50, deadline=None)
@given(seeds, st.integers(1, 70))
def test_beam_search_is_exact_for_each_target(seeds, width):
    landscapes = [landscape(seed) for seed in seeds]
    history = run(BeamSearch(width), landscapes, DEPTH)
    for target, losses in enumerate(landscapes):
        expected = beam_by_brute_force(losses, width, DEPTH)
        assert [step[target] for step in history] == expected


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_wide_beam_finds_the_best_state_of_every_length(seed):
    losses = landscape(seed)
    history = run(BeamSearch(4**DEPTH), [losses], DEPTH)
    for length, (frontier,) in enumerate(history, 1):
        assert frontier[0] == min((v, s) for s, v in losses.items() if len(s) == length)


@settings(max_examples=50, deadline=None)
@given(seeds, st.integers(1, 20), st.integers(1, 12))
def test_uniform_cost_search_is_exact_for_each_target(seeds, size, steps):
    landscapes = [landscape(seed) for seed in seeds]
    history = run(UniformCostSearch(size), landscapes, steps)
    for target, losses in enumerate(landscapes):
        expected = uniform_cost_by_brute_force(losses, size, steps)
        assert [step[target] for step in history] == expected


def test_uniform_cost_search_never_expands_a_state_twice():
    frontier = UniformCostSearch(8)
    frontier.start([[()]])
    assert frontier.expand() == [[()]]
    frontier.update([[(1.0, (1,)), (2.0, (2,)), (0.5, ())]])
    assert frontier.expand() == [[(1,)]]
    frontier.update([[(0.1, (1,)), (3.0, (3,))]])
    assert frontier.expand() == [[(2,)]]


def test_greedy_search_keeps_the_best_of_each_target():
    frontier = GreedySearch()
    frontier.start([[()], [()]])
    frontier.update([[(2.0, (1,)), (1.0, (2,))], [(0.0, (3,))]])
    assert frontier.expand() == [[(2,)], [(3,)]]


def test_a_target_without_candidates_ends_and_others_go_on():
    frontier = BeamSearch(2)
    frontier.start([[()], [()]])
    frontier.update([[], [(0.0, (3,))]])
    assert frontier.expand() == [[], [(3,)]]


def spelled(state):
    """A text that stands where a tuple does, among texts as among tuples."""
    return "".join("abcd"[token] for token in state)


@pytest.mark.parametrize(
    "make",
    [
        GreedySearch,
        lambda: BeamSearch(3),
        lambda: UniformCostSearch(6),
        lambda: HistorySearch(4, 2),
    ],
)
@given(seed=st.integers(0, 10**6))
def test_states_may_be_texts(make, seed):
    losses = landscape(seed)
    texts = {spelled(state): loss for state, loss in losses.items()}
    ids, words = make(), make()
    ids.start([[()]])
    words.start([[""]])
    for _ in range(DEPTH):
        expanded, (named,) = ids.expand(), words.expand()
        assert named == [spelled(state) for state in expanded[0]]
        children = [(*state, token) for state in expanded[0] for token in VOCABULARY]
        ids.update([[(losses[child], child) for child in children if child in losses]])
        longer = [f"{state}{letter}" for state in named for letter in "abcd"]
        words.update([[(texts[child], child) for child in longer if child in texts]])
        again = make()
        again.start([[]])
        again.restore(0, words.target_state(0))
        assert (again.frontiers, again.own) == (words.frontiers, words.own)
        assert again.frontiers[0] == [(loss, spelled(state)) for loss, state in ids.frontiers[0]]


def test_infinite_and_undefined_losses_are_never_kept():
    assert distinct([(float("inf"), (1,)), (float("nan"), (2,)), (1.0, (3,))]) == [(1.0, (3,))]


def test_a_state_met_twice_is_kept_once_with_its_lower_loss():
    assert distinct([(2.0, (1,)), (1.0, (1,))]) == [(1.0, (1,))]


@pytest.mark.parametrize("make", [lambda: BeamSearch(3), lambda: UniformCostSearch(6)])
@pytest.mark.parametrize("stop", [1, 2, 3])
def test_saved_and_restored_search_goes_on_as_if_never_stopped(make, stop):
    landscapes = [landscape(1), landscape(2)]
    expected = run(make(), landscapes, DEPTH)
    first = make()
    run(first, landscapes, stop)
    second = make()
    second.start([[] for _ in landscapes])
    for place in range(len(landscapes)):
        second.restore(place, first.target_state(place))
    for step in range(stop, DEPTH):
        candidates = []
        for losses, states in zip(landscapes, second.expand(), strict=True):
            children = [(*state, token) for state in states for token in VOCABULARY]
            candidates.append([(losses[child], child) for child in children if child in losses])
        second.update(candidates)
        assert [list(each) for each in second.frontiers] == expected[step]


def test_state_is_plain_enough_for_a_safe_checkpoint(tmp_path):
    frontier = UniformCostSearch(6)
    run(frontier, [landscape(0)], 2)
    torch.save(frontier.target_state(0), tmp_path / "state.pt")
    loaded = torch.load(tmp_path / "state.pt", weights_only=True)
    again = UniformCostSearch(6)
    again.start([[]])
    again.restore(0, loaded)
    assert again.frontiers == frontier.frontiers
    assert again.own == frontier.own


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"frontier": 3, "own": {"idle": 0}},
        {"frontier": [(1.0, [1, 2])], "own": {"idle": 0}},
        {"frontier": [("much", (1,))], "own": {"idle": 0}},
        {"frontier": [(1.0, (1,))]},
        {"frontier": [(1.0, (1,))], "own": 3},
        {"frontier": [(1.0, (1,))], "own": {}},
        {"frontier": [(1.0, (1,))], "own": {"idle": None}},
    ],
)
def test_a_state_of_another_form_is_refused(state):
    frontier = HistorySearch()
    frontier.start([[]])
    with pytest.raises((KeyError, TypeError, ValueError)):
        frontier.restore(0, state)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: BeamSearch(0), "beam_width is 0"),
        (lambda: BeamSearch(2, siblings=0), "siblings is 0"),
        (lambda: UniformCostSearch(-1), "frontier_max_size is -1"),
    ],
)
def test_impossible_sizes_are_refused(make, text):
    with pytest.raises(FuseError, match=text):
        make()


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 3))
def test_a_history_goes_on_from_the_best_of_all_steps(seed, size, patience):
    generator = torch.Generator().manual_seed(seed)
    frontier = HistorySearch(size, patience)
    frontier.start([[(0,)]])
    history, idle = [(float("inf"), (0,))], 0
    for step in range(12):
        (expanded,) = frontier.expand()
        assert expanded == [history[idle // patience % len(history)][1]]
        numbers = torch.randint(0, 9, (3,), generator=generator).tolist()
        found = [(float(number), (step, place)) for place, number in enumerate(numbers)]
        frontier.update([found])
        after = sorted(each for each in [*history, *found] if each[0] < float("inf"))[:size]
        idle = idle + 1 if after == history else 0
        history = after
        assert sorted(frontier.frontiers[0]) == history
