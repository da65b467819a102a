"""Revision: edits against brute force, ranks, budgets, and what a search gains by them."""

from functools import partial

import pytest
import torch

from fuse_lightning.data import ImageTargets, SentimentTargets
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Fluency, Sentiment
from fuse_lightning.optimizers import AutoDAN
from fuse_lightning.optimizers.edit_screen import EditScreen
from fuse_lightning.optimizers.edits import moved
from fuse_lightning.optimizers.revision import Draft, Revision
from fuse_lightning.optimizers.revision_default import Plan
from fuse_lightning.search import BeamSearch, GreedySearch
from fuse_lightning.utilities.evaluations import Evaluations
from tests.near import near
from tests.optimizers.runs import build, fit

EVERYTHING = 10_000
optimizer = partial(
    build, AutoDAN, steps=5, batch_size=6, gradient_samples=2, revise=2, revise_reads=0
)


def edits(state, tokens):
    """All prompts within one edit, but for what only growth makes: a token behind the last."""
    places = range(len(state))
    swaps = {(*state[:n], token, *state[n + 1 :]) for n in places for token in tokens}
    longer = {(*state[:n], token, *state[n:]) for n in places for token in tokens}
    shorter = {(*state[:n], *state[n + 1 :]) for n in places}
    return (swaps - {state}, longer, shorter if len(state) > 1 else set())


def admitted(module, states):
    prompts = module.objective.prompts(states := sorted(states), [0] * len(states))
    rows = zip(states, prompts.texts, prompts.canonical, strict=True)
    return {
        state for state, text, canonical in rows if canonical and module.constraints.admits(text)
    }


def draft(state, **options):
    generator = torch.Generator().manual_seed(0)
    values = {"owner": 0, "count": EVERYTHING, "known": Evaluations(), "grows": True} | options
    return Draft(state, generator=generator, **values)


def revision(module, likelihood, **options):
    values = {"averaged": True, "predicted": lambda term: False, "weight": 0.0, "samples": 0}
    values |= options
    return Revision(module.objective, module.admission, module.allowed, likelihood, **values)


@pytest.fixture
def loaded(folders):
    module = AutoDAN([Fluency(folders["gpt2"], prefix="An image of")])
    module.load()
    return module


def flat(module):
    return lambda states: torch.zeros(len(states), module.writer.vocab_size)


@pytest.mark.parametrize("grows", [True, False])
def test_the_edits_of_a_prompt_are_all_that_there_are(grows, loaded):
    state = loaded.objective.encode_prompt("two red")
    known = Evaluations()
    swaps, longer, shorter = edits(state, loaded.allowed_ids.tolist())
    expected = admitted(loaded, swaps | shorter | (longer if grows else set()))
    for old in sorted(expected)[::3]:
        known.add(old)
    (found,) = revision(loaded, flat(loaded)).propose([draft(state, known=known, grows=grows)])
    assert len(found) == len({*found})
    assert {*found} == {each for each in expected if each not in known}


def plain_log_probs(model, ids):
    """Log-probabilities behind some ids, by one forward that shares nothing."""
    row = torch.tensor([ids])
    with torch.no_grad():
        logits = model.logits(row, torch.ones_like(row))[0, -1]
    return logits.log_softmax(-1)[: model.vocab_size]


def test_the_best_replacements_are_those_of_the_plain_likelihoods(folders, double):
    """As many as are wanted, in order, each worth what one forward says of its left context."""
    module = AutoDAN([Fluency(folders["gpt2"], 3, prefix="An image of")], revise_reads=0)
    module.load()
    state = module.objective.encode_prompt("red star on")
    head, writer = module.objective.terms[0].frame.head, module.writer
    gains = {}
    for n, old in enumerate(state):
        told = plain_log_probs(writer, (*head, *state[:n]))
        for token in module.allowed_ids.tolist():
            gains[(*state[:n], token, *state[n + 1 :])] = float(told[token] - told[old])
    best = sorted(admitted(module, gains.keys() - {state}), key=gains.get, reverse=True)
    (found,) = module._revision.propose([draft(state, grows=False)])
    swaps = [each for each in found if len(each) == len(state)]
    assert [gains[each] for each in swaps] == near([gains[each] for each in best])


def plain_loss(model, ids, start):
    """Mean -log P of the ids from a place on, by one forward for each."""
    told = [plain_log_probs(model, ids[:n])[ids[n]] for n in range(start, len(ids))]
    return -float(sum(told)) / len(told)


@pytest.mark.parametrize("weight", [0.0, 0.5])
def test_a_screen_chooses_by_plain_likelihoods_and_predicted_changes(weight, folders, double):
    """Of all edits and moves those with the lowest sum, in order."""
    module = AutoDAN([Fluency(folders["gpt2"], weight=3, prefix="An image of")])
    module.load()
    state = module.objective.encode_prompt("red star on")
    head, writer = module.objective.terms[0].frame.head, module.writer
    generator = torch.Generator().manual_seed(1)
    swap, insertion = torch.randn(2, len(state), writer.vocab_size, generator=generator).double()
    known = Evaluations()
    known.add(state)
    known.add(state[::-1])
    changes = dict.fromkeys(moved(state, 9), 0.0)
    for n, old in enumerate(state):
        changes.setdefault((*state[:n], *state[n + 1 :]), -float(swap[n, old]))
        for token in module.allowed_ids.tolist():
            swapped = (*state[:n], token, *state[n + 1 :])
            changes.setdefault(swapped, float(swap[n, token] - swap[n, old]))
        for token in module.allowed_ids.tolist():
            changes.setdefault((*state[:n], token, *state[n:]), float(insertion[n, token]))
    good = [each for each in admitted(module, changes) if each not in known]
    sums = {
        each: 3 * plain_loss(writer, (*head, *each), len(head)) + 2 * weight * changes[each]
        for each in good
    }
    read = [module.objective.terms[0]], True, 1.0, weight, EVERYTHING
    screen = EditScreen(module.objective, module.admission, *read)
    proposer = revision(module, flat(module), screen=screen)
    tried = proposer._tried(draft(state, known=known), flat(module)(state), swap, insertion, 99)
    assert {*admitted(module, tried)} == {*good}
    (found,) = screen.choose([tried], [0], [20])
    assert [sums[each] for each in found] == near(sorted(sums.values())[:20])


def test_a_screen_chooses_by_plain_losses_of_the_other_terms(folders, pictures, double):
    """Of all edits and moves those with the lowest sum of it and of the likelihoods before."""
    module = build(AutoDAN, folders, revise=1)
    module.load()
    module.objective.set_targets(ImageTargets(str(pictures / "0.png")).find_targets())
    state = module.objective.encode_prompt("red star on")
    head, writer = module.objective.terms[0].frame.head, module.writer
    likely = torch.stack([plain_log_probs(writer, (*head, *state[:n])) for n in range(len(state))])
    standing = [float(told[token]) for told, token in zip(likely, state, strict=True)]

    def guess(*changed):
        """Mean -log P with other likelihoods at some places."""
        told = [*standing]
        for place, values in changed:
            told[place : place + 1] = values
        return -sum(told) / len(told)

    sums = dict.fromkeys(moved(state, 9), guess())
    for n in range(len(state)):
        sums.setdefault((*state[:n], *state[n + 1 :]), guess((n, [])))
        for token in module.allowed_ids.tolist():
            new = float(likely[n, token])
            sums.setdefault((*state[:n], token, *state[n + 1 :]), guess((n, [new])))
        for token in module.allowed_ids.tolist():
            new = float(likely[n, token])
            # A token beside its like is inserted in two ways.
            after, told = (*state[:n], token, *state[n:]), guess((n, [standing[n], new]))
            sums[after] = min(told, sums.get(after, told))
    good = [each for each in admitted(module, sums) if each != state]
    losses = module.objective.losses(module.objective.prompts(good, [0] * len(good)))
    for each, told in zip(good, losses[:, 1].tolist(), strict=True):
        sums[each] += 8 * told
    read = [module.objective.terms[1]], False, 1.0, 0.25, EVERYTHING
    screen = EditScreen(module.objective, module.admission, *read)
    known = Evaluations()
    known.add(state)
    proposer = revision(module, module._likelihood, screen=screen)
    (found,) = proposer.propose([draft(state, known=known)])
    assert {*found} == {*good}
    assert [sums[each] for each in found] == near(sorted(sums[each] for each in good))


@pytest.mark.parametrize(("batch_size", "grown"), [(10, 24), (4, 9)])
def test_a_dear_writer_reads_no_more_edits_than_are_scored(
    batch_size, grown, folders, pictures, tmp_path, monkeypatch
):
    """The other terms read the rest, and a fifth of the candidates are edits."""
    monkeypatch.setattr(AutoDAN, "_planned", (Plan(False, 12, 0.2), True))
    module = build(AutoDAN, folders, steps=5, batch_size=batch_size, gradient_samples=2)
    refine, term_losses, spent = module.refine, module.objective.scores.term_losses, []

    def noted(scored):
        read = []
        module.objective.scores.term_losses = lambda term, prompts: (
            read.append((term, len(prompts.states))) or term_losses(term, prompts)
        )
        found = refine(scored)
        del module.objective.scores.term_losses
        spent.append((len(scored[0]), len(found[0]), read))
        return found

    module.refine = noted
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, BeamSearch(3))
    wanted = 3 * batch_size - grown
    # The beam is full from the fourth step on.
    for candidates, edits, read in spent[3:]:
        assert candidates == grown
        assert {term for term, _ in read} <= {module.objective.terms[1]}
        assert sum(count for _, count in read) >= 5 * edits
        # Two prompts may have edits in common.
        assert wanted / 2 <= edits <= wanted


def test_edits_that_are_read_whole_are_likelier(folders, double):
    """What is chosen without a screen is among what the screen reads."""
    means = []
    for reads in (0, 4):
        module = AutoDAN([Fluency(folders["gpt2"])], revise=1, revise_reads=reads)
        module.load()
        state = module.objective.encode_prompt("red star on")
        (found,) = module._revision.propose([draft(state, count=10)])
        assert len(found) == 10
        means.append(
            float(module.objective.losses(module.objective.prompts(found, [0] * 10)).mean())
        )
    assert means[1] < means[0] - 0.01


def test_a_step_finds_the_best_prompt_within_one_edit(folders, pictures, tmp_path, double):
    """With every edit scored a step is an argmin over growth and edits, at any position."""
    module = optimizer(
        folders,
        initial_prompt="two red",
        steps=1,
        revise=1,
        batch_size=EVERYTHING,
        end_probability=1.0,
    )
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())

    def least(states):
        prompts = module.objective.prompts(states := sorted(states), [0] * len(states))
        losses = module.objective.losses(prompts, again=True)
        return min(zip(module.objective.total(losses).tolist(), states, strict=True))

    tokens = module.allowed_ids.tolist()
    start = module.objective.encode_prompt("two red")
    grown = {start} | admitted(module, {(*start, token) for token in tokens})
    loss, best = least(grown)
    expected, _ = least(admitted(module, set.union(*edits(best, tokens))))
    assert module.results[0].loss == near(expected)
    assert expected < loss


@pytest.mark.parametrize("revise", [0, 1, 3])
def test_a_step_scores_as_many_candidates_as_without_revision(revise, folders, pictures, tmp_path):
    module = optimizer(folders, revise=revise, steps=6)
    score, spent, seen = module.score, [], set()

    def counted(proposed):
        before = module.searches[0].evaluations
        found = score(proposed)
        states = [state for _, state in found[0]]
        seen.update(states)
        spent.append((module.searches[0].step, module.searches[0].evaluations - before))
        # None is scored twice.
        assert spent[-1][1] == len(states)
        return found

    module.score = counted
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, BeamSearch(3))
    steps = {step: 0 for step, _ in spent}
    for step, count in spent:
        steps[step] += count
    assert steps[1] == 6
    # Two prompts may have edits in common.
    assert all(9 < count <= 18 for step, count in steps.items() if step > 2)
    assert revise > 1 or all(count == 18 for step, count in steps.items() if step > 2)
    assert (len(spent) > 6) == (revise > 0)
    assert module.results[0].evaluations == len(seen)


def test_no_revision_leaves_growth_as_it_is(folders, pictures, tmp_path):
    """Every candidate is a state that was expanded, and one more token."""
    module = optimizer(folders, revise=0)
    score = module.score

    def checked(proposed):
        for states, found in zip(module.expanded, proposed, strict=True):
            assert {state[:-1] for state in found} <= {*states}
        return score(proposed)

    module.score = checked
    fit(module, ImageTargets(str(pictures)), tmp_path, BeamSearch(2))
    assert module.results


def test_revision_goes_on_where_growth_has_ended(folders, pictures, tmp_path):
    module = optimizer(folders, max_length=3, steps=7)
    lengths = []
    score = module.score

    def noted(proposed):
        lengths.append({len(state) for found in proposed for state in found})
        return score(proposed)

    module.score = noted
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, BeamSearch(2))
    assert module.results[0].evaluations > 6 + 3 * 12
    assert max(max(found, default=0) for found in lengths) == 3


def test_other_objectives_are_revised_too(folders, tmp_path):
    terms = [Fluency(folders["gpt2"]), Sentiment(folders["classifier"], weight=3)]
    module = AutoDAN(terms, steps=5, batch_size=6, gradient_samples=2, revise=2, revise_reads=0)
    proposed = []
    refine = module.refine
    module.refine = lambda scored: proposed.append(refine(scored)) or proposed[-1]
    fit(module, SentimentTargets(["positive", "negative"]), tmp_path, BeamSearch(2))
    assert all(len(found) for found in proposed[-1])


def test_fewer_than_no_prompts_cannot_be_revised(folders):
    with pytest.raises(FuseError, match="revise is -1; it must be at least 0"):
        optimizer(folders, revise=-1)


def test_fewer_than_no_edits_cannot_be_read(folders):
    with pytest.raises(FuseError, match="revise_reads is -1; it must be at least 0"):
        optimizer(folders, revise_reads=-1)
