"""Parts of GReaTer: pools, positions, acceptance, and options that contradict each other."""

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Fluency, Reasoning
from fuse_lightning.optimizers import GReaTer
from fuse_lightning.optimizers.greater_acceptance import Acceptance, check_begun
from fuse_lightning.optimizers.greater_options import GreaterOptions
from fuse_lightning.optimizers.greater_pool import likeliest_first, likely_pool
from fuse_lightning.optimizers.greater_positions import Positions, Slot
from fuse_lightning.optimizers.greater_progress import (
    TRIED,
    check_progress,
    is_settled,
    note_tried,
)
from fuse_lightning.search.target_search import TargetSearch

PIECES = ["a", " b", ".", " c?", "d"]
ORDER = Positions(PIECES, ".?!", True, 4)


def started(step=1):
    """A search in one of its steps."""
    search = TargetSearch.begin("questions", "", 0)
    search.step = step
    return search


@given(
    shape=st.tuples(st.integers(1, 7), st.integers(3, 12)),
    top_k=st.integers(1, 14),
    intersect=st.integers(1, 8),
    pools=st.integers(1, 3),
    least=st.integers(1, 14),
    seed=st.integers(0, 99),
)
def test_a_pool_is_the_union_of_intersections_of_lists_that_grow(
    shape, top_k, intersect, pools, least, seed
):
    generator = torch.Generator().manual_seed(seed)
    told = torch.randn(shape, generator=generator)
    allowed = torch.rand(shape[1], generator=generator) < 0.8
    allowed[seed % shape[1]] = True
    options = top_k, intersect, pools, least
    found = likely_pool(told, allowed, *options, torch.Generator().manual_seed(seed))
    draws, size, most = torch.Generator().manual_seed(seed), top_k, int(allowed.sum())
    while True:
        lists = [
            [t for t in row.argsort(descending=True).tolist() if allowed[t]][:size] for row in told
        ]
        expected = set()
        for _ in range(pools):
            drawn = torch.randperm(len(lists), generator=draws).tolist()[:intersect]
            expected |= set.intersection(*({*lists[n]} for n in drawn))
        if len(expected) >= min(least, most) or size >= most:
            break
        size += 2
    assert {*found} == expected
    # However few questions there are, and however little their lists share.
    assert len(found) >= min(least, most)
    means = [sum(row[token] for row in told.double()) for token in found]
    assert all(a >= b - 1e-5 for a, b in pairwise(means))
    assert found == likeliest_first(told, found)


@given(
    state=st.lists(st.integers(0, 4), max_size=5).map(tuple),
    place=st.integers(0, 5),
    grow=st.booleans(),
    most=st.sampled_from([None, 2, 4]),
)
def test_positions_go_on_wrap_and_grow(state, place, grow, most):
    order = Positions(PIECES, ".?!", grow, most)
    place = min(place, len(state))
    following = order.after(state, place)
    if place + 1 < len(state):
        assert following == place + 1
    elif place == len(state) and place:
        # It was offered one more token and took none.
        assert following == 0
    else:
        ended = bool(state) and PIECES[state[-1]][-1] in ".?!"
        full = most is not None and len(state) >= most
        grows = grow and not ended and not full and place < len(state)
        assert following == (len(state) if grows else 0)


def test_an_empty_prompt_grows_from_its_first_step():
    assert ORDER.after((), 0) == 0
    assert Slot((), 0, 0).put(4) == (4,)
    assert ORDER.after((4,), 0) == 1


def accepted(scored, lists, search=None, **options):
    rules = Acceptance(GreaterOptions(**options), ORDER, 9)
    return rules.taken(search or started(), scored, lists)


def test_a_forced_end_is_taken_whatever_its_loss_in_the_second_half_of_the_first_length():
    state = (0, 1, 4, 0)
    for place, forced in ((1, False), (2, True), (3, True)):
        slot = Slot(state, 0, place)
        plain, end, later = slot.put(1), slot.put(2), slot.put(3)
        scored = [(1.0, plain), (9.0, end), (2.0, later), (0.5, state)]
        found = accepted(scored, {slot: [plain, end, later]}, force_ends=True)
        # The first one that the gradient names.
        assert found == ([(9.0, end)] if forced else scored)
        assert accepted(scored, {slot: [plain, end, later]}) == scored
        endless = [(math.inf if child == end else loss, child) for loss, child in scored]
        found = accepted(endless, {slot: [plain, end, later]}, force_ends=True)
        assert found == ([(2.0, later)] if forced else endless)


def test_the_first_length_is_that_of_the_start():
    search = started()
    accepted([], {Slot((0,) * 8, 0, 0): []}, search, force_ends=True)
    slot = Slot((0, 0), 0, 1)
    scored = [(1.0, slot.put(2)), (0.0, slot.put(1))]
    lists = {slot: [slot.put(2), slot.put(1)]}
    assert accepted(scored, lists, search, force_ends=True) == scored
    check_begun(search)
    search.own["begun"] = "8"
    with pytest.raises(TypeError):
        check_begun(search)


def test_annealing_takes_worse_candidates_less_and_less_often():
    slot = Slot((0, 1), 0, 0)
    child = slot.put(4)
    shares = []
    for step, worse in ((1, 0.5), (9, 0.5), (1, 5.0), (1, -0.1)):
        search, taken = started(step), 0
        for _ in range(400):
            scored = [(1.0, slot.state), (1.0 + worse, child)]
            found = accepted(scored, {slot: [child]}, search, anneal=True)
            assert found in (scored, scored[1:])
            taken += found == scored[1:]
        shares.append(taken / 400)
    chances = [math.exp(-0.5 / 0.9), math.exp(-0.5 / 0.1), math.exp(-5 / 0.9), 1.0]
    assert shares == pytest.approx(chances, abs=0.1)
    assert accepted(scored, {slot: [child]}) == scored


def test_a_search_is_settled_once_every_position_was_tried_in_vain():
    search, state = started(), (0, 1)
    for turn in range(6):
        assert is_settled(search, [state], ORDER, 2) == (turn == 6)
        note_tried(search, [state], [Slot(state, 0, turn % 3)])
    assert is_settled(search, [state], ORDER, 2)
    assert not is_settled(search, [state], ORDER, 3)
    # Where a prompt ends a sentence, nothing is added, so that two positions are all.
    ended = (0, 2)
    for place in (0, 1):
        note_tried(search, [ended], [Slot(ended, 0, place)])
    assert search.own[TRIED] == {ended: [1, 1, 0]}
    assert is_settled(search, [ended], ORDER, 1)
    assert not is_settled(search, [state], ORDER, 1)
    assert not is_settled(search, [ended, state], ORDER, 1)
    check_progress(search, lambda _: None)
    search.own[TRIED] = {ended: [1, 1]}
    with pytest.raises(ValueError, match="counts"):
        check_progress(search, lambda _: None)
    search.own = {"taken": 0}
    with pytest.raises(TypeError):
        check_progress(search, lambda _: None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"top_k": 0}, "top_k is 0"),
        ({"shortlist": 0}, "shortlist is 0"),
        ({"gradient_pool": -1}, "gradient_pool is -1"),
        ({"residual_damping": 1.5}, "residual_damping is 1.5"),
        ({"rank_by": "chance"}, "rank_by is 'chance'; give one of: gradient, likelihood, random"),
        ({"preset": "draft"}, "preset is 'draft'; give paper, code or none"),
        ({"verify": False}, "verify is false and screen 0, so that nothing decides"),
        ({"anneal": True, "keep_incumbent": False}, "anneal is true and keep_incumbent false"),
        ({"anneal": True, "preset": "code"}, "anneal is true and keep_incumbent false"),
        ({"anneal": True, "verify": False, "screen": 9}, "anneal is true and verify false"),
        ({"screen_examples": 3}, "screen_examples is 3, but screen is 0"),
        ({"screen": 4}, "screen is 4, but the shortlist already has 4"),
        ({"rank_by": "random", "residual_damping": 0.5}, "residual_damping is 0.5, but rank_by"),
        ({"progressive": 0}, "progressive is 0"),
        ({"settled": 0}, "settled is 0"),
        ({"progressive": 4, "examples_per_step": 2}, "progressive is 4 and examples_per_step 2"),
        ({"starts": ["", "go"]}, "starts holds '', which is no instruction"),
    ],
)
def test_impossible_options_are_refused_by_name(options, message):
    with pytest.raises(FuseError, match=message):
        GReaTer([Reasoning("nowhere")], **options)


def test_the_first_term_must_reason():
    with pytest.raises(FuseError, match=r"first term is Fluency; put a Reasoning term first"):
        GReaTer([Fluency("nowhere"), Reasoning("nowhere")])


def test_presets_set_options_that_are_not_given():
    paper, code, own = (GReaTer([Reasoning("nowhere")], preset=p) for p in ("paper", "code", None))
    assert (paper.choices.pools, code.choices.pools, own.choices.pools) == (1, 5, 3)
    assert not paper.choices.keep_incumbent
    assert own.choices.keep_incumbent
    assert (paper.gradient_samples, own.gradient_samples) == (0, 8)
    assert paper.scores_start() is False
    assert own.scores_start()
    given = GReaTer([Reasoning("nowhere")], preset="code", pools=2, gradient_samples=4)
    assert (given.choices.pools, given.choices.shortlist, given.gradient_samples) == (2, 3, 4)
