"""AutoPrompt against brute force over labelled texts."""

from itertools import pairwise

import pytest
import torch

from fuse_lightning.data import ImageTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Classification
from fuse_lightning.optimizers import AutoPrompt
from fuse_lightning.optimizers.minibatches import minibatch
from fuse_lightning.search import GreedySearch
from tests.near import DOUBLE, near
from tests.optimizers.labelled import TEXTS, LabelledTexts, Plain, term
from tests.optimizers.runs import build, fit
from tests.optimizers.shown_examples import LAYOUT, Given, target

TOP_K, STEPS = 5, 7


class Watched(AutoPrompt):
    """Also notes what each target goes on from, and what is proposed for it."""

    def load(self, *args):
        super().load(*args)
        self.seen = []

    def propose(self, states):
        found = super().propose(states)
        self.seen.append(([group[0] for group in states], found))
        return found


def swaps_by_hand(module, plain, name, state, place):
    """Admitted swaps at a place, by the change that the gradient of each one-hot vector tells."""
    change = plain.table @ plain.gradient(name, state)[place]
    ranked = [
        token
        for token in change.argsort().tolist()
        if token in module.allowed_ids.tolist() and token != state[place]
    ]
    swaps = [(*state[:place], token, *state[place + 1 :]) for token in ranked[: 2 * TOP_K]]
    prompts = module.objective.prompts(swaps, [0] * len(swaps))
    return [swap for swap, good in zip(swaps, prompts.canonical, strict=True) if good][:TOP_K]


def test_every_step_is_the_best_swap_at_its_place_by_brute_force(folders, tmp_path, double):
    module = Watched(
        [term(folders["gpt2"])],
        steps=STEPS,
        top_k=TOP_K,
        order="in_turn",
        initial_prompt="two red stars",
    )
    fit(module, LabelledTexts(batch_size=2), tmp_path, GreedySearch())
    plain = Plain(module.objective.primary)
    for owner, (name, row) in enumerate(zip(TEXTS, module.results, strict=True)):
        state = module.objective.encode_prompt("two red stars")
        best, replaced = plain.loss_of(name, state), 0
        for step, (begun, proposed) in enumerate(module.seen):
            assert begun[owner] == state
            swaps = swaps_by_hand(module, plain, name, state, step % len(state))
            assert proposed[owner] == [state, *swaps]
            loss, swap = min((plain.loss_of(name, swap), swap) for swap in swaps)
            if loss < best:
                best, state, replaced = loss, swap, replaced + 1
        assert tuple(row.ids) == state
        assert row.loss == near(best, share=DOUBLE)
        assert 1 < replaced < STEPS


def test_a_prompt_stays_where_no_swap_is_better(folders, pictures, tmp_path):
    """Frontiers choose among equals by their ids, some of which come before the start's."""
    module = build(Watched, folders, steps=4, top_k=20, initial_prompt="two red stars")
    module.objective.losses = lambda prompts, **_: torch.ones(len(prompts.states), 2)
    fit(module, ImageTargets(str(pictures), batch_size=3), tmp_path, GreedySearch())
    start = module.objective.encode_prompt("two red stars")
    assert all(begun == [start] * 3 for begun, _ in module.seen)
    assert any(swap < start for _, proposed in module.seen for swap in proposed[0])


def test_places_are_drawn_for_each_target_and_losses_never_rise(
    folders, pictures, tmp_path, double
):
    module = build(Watched, folders, steps=12, top_k=6, prompt_length=4)
    fit(module, ImageTargets(str(pictures), batch_size=3), tmp_path, GreedySearch())
    places = [[], [], []]
    for begun, proposed in module.seen:
        for owner, (state, swaps) in enumerate(zip(begun, proposed, strict=True)):
            assert swaps[0] == state
            changed = {
                place
                for swap in swaps[1:]
                for place, (one, other) in enumerate(zip(state, swap, strict=True))
                if one != other
            }
            assert len(changed) <= 1
            places[owner] += changed
    assert len({tuple(found) for found in places}) == 3
    assert all(set(found) == {0, 1, 2, 3} for found in places)
    module.objective.set_targets(ImageTargets(str(pictures)).find_targets())
    for owner in range(3):
        states = [begun[owner] for begun, _ in module.seen]
        prompts = module.objective.prompts(states, [owner] * len(states))
        totals = module.objective.total(module.objective.losses(prompts)).tolist()
        assert all(later <= before for before, later in pairwise(totals))
        assert totals[-1] < totals[0]


@pytest.mark.parametrize("samples", [0, 6])
def test_a_gradient_at_one_place_moves_nothing_else(folders, pictures, tmp_path, samples):
    """Smoothed or not, the other positions of every sample hold the prompt."""
    module = build(AutoPrompt, folders, steps=1, top_k=3, gradient_samples=samples)
    asked = []

    def watched(states, owners, top_k, places):
        asked.append((len(states), [list(each) for each in places]))
        return AutoPrompt.best_tokens(module, states, owners, top_k, places)

    module.best_tokens = watched
    fit(module, ImageTargets(str(pictures), batch_size=3), tmp_path, GreedySearch())
    ((count, places),) = asked
    assert count == 3
    assert all(len(each) == 1 for each in places)


def labelled_search(**options):
    terms = [Classification("zoo/gpt2", LAYOUT)]
    return AutoPrompt(terms, steps=4, top_k=4, prompt_length=2, **options)


@pytest.mark.parametrize("size", [2, 3])
def test_candidates_are_scored_by_other_examples_than_the_gradients(tmp_path, monkeypatch, size):
    drawn = {"gradient": [], "scored": []}
    module = labelled_search(examples_per_step=size, fresh_examples=True)
    best_tokens, score = module.best_tokens, module.score

    def gradient(*args):
        drawn["gradient"].append([*module.objective.drawn[0]])
        return best_tokens(*args)

    def scored(proposed):
        found = score(proposed)
        drawn["scored"].append([*module.objective.drawn[0]])
        return found

    monkeypatch.setattr(module, "best_tokens", gradient)
    monkeypatch.setattr(module, "score", scored)
    one = target(train=6, select=2)
    fit(module, Given(one), tmp_path, GreedySearch())
    assert drawn == {
        name: [[*minibatch(one, 2 * step + more, size, seed=0)] for step in range(4)]
        for name, more in (("gradient", 0), ("scored", 1))
    }
    # Two minibatches of three are all six examples, and three of two hold each once.
    assert not {*drawn["gradient"][0]} & {*drawn["scored"][0]}


def test_without_minibatches_there_are_no_fresh_examples():
    with pytest.raises(FuseError, match=r"fresh_examples needs minibatches.*examples_per_step"):
        labelled_search(fresh_examples=True)
