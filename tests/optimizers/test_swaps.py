"""GCG and random search against brute force."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from fuse_lightning.data import ImageTargets, LabelledExamples
from fuse_lightning.objectives import (
    Classification,
    Continuation,
    Fluency,
    ImageSimilarity,
    Objective,
    embedding_gradient,
    label_changes,
)
from fuse_lightning.optimizers import GCG, Constraints, RandomSearch
from fuse_lightning.search import GreedySearch
from fuse_lightning.search.target_search import TargetSearch
from tests.near import SINGLE, assert_near, near
from tests.optimizers.runs import build, fit

WORDS = Constraints("words", allow=["red", "blue", "star", "stars", "two", "a", "circle"])


def score(module, states):
    objective = module.objective
    return objective.total(objective.losses(objective.prompts(states, [0] * len(states)))).tolist()


def test_exhaustive_gcg_is_coordinate_descent(folders, pictures, tmp_path, double):
    """With every swap scored the gradient cannot matter, and each step is an argmin."""
    probe = build(GCG, folders, constraints=WORDS, top_k=1)
    probe.load()
    others = len(probe.allowed_ids) - 1
    module = build(
        GCG,
        folders,
        constraints=WORDS,
        steps=4,
        batch_size=10_000,
        top_k=others,
        initial_prompt="a red star",
        gradient_samples=2,
        merge=0,
    )
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    state = module.objective.encode_prompt("a red star")
    best = None
    for _ in range(4):
        swaps = [
            (*state[:i], token, *state[i + 1 :])
            for i in range(len(state))
            for token in module.allowed_ids.tolist()
            if token != state[i]
        ]
        prompts = module.objective.prompts(swaps, [0] * len(swaps))
        good = [
            swap
            for swap, text, canonical in zip(swaps, prompts.texts, prompts.canonical, strict=True)
            if canonical and WORDS.admits(text)
        ]
        loss, state = min(zip(score(module, good), good, strict=True))
        best = min(best or (loss, state), (loss, state))
    assert module.results[0].loss == near(best[0])
    assert tuple(module.results[0].ids) == best[1]


def test_number_of_replaced_tokens_falls_in_a_straight_line(folders, pictures, tmp_path):
    seen = []

    class Watched(GCG):
        def propose(self, states):
            found = super().propose(states)
            seen.append(
                max(sum(a != b for a, b in zip(states[0][0], c, strict=True)) for c in found[0])
            )
            return found

    module = build(
        Watched,
        folders,
        steps=5,
        batch_size=30,
        top_k=50,
        n_replace=5,
        n_replace_end=1,
        prompt_length=6,
        gradient_samples=2,
    )
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert seen == [5, 4, 3, 2, 1]


@pytest.mark.parametrize(
    ("terms", "samples"),
    [
        (lambda folders: [Fluency(folders["gpt2"])], 0),
        (lambda folders: [Fluency(folders["gpt2"]), Continuation(folders["gpt2"], label="a")], 0),
        (lambda folders: [Fluency(folders["gpt2"]), ImageSimilarity(folders["clip"])], 16),
        (lambda folders: [ImageSimilarity(folders["clip"])], 16),
    ],
)
def test_gradients_are_averaged_by_default_where_no_language_model_reads_the_prompt_alone(
    folders, pictures, tmp_path, terms, samples
):
    """A gradient at the prompt itself is exact where the tokens are the model's own."""
    for given, expected in ((None, samples), (3, 3), (0, 0)):
        module = GCG(
            terms(folders), steps=1, batch_size=2, top_k=4, prompt_length=3, gradient_samples=given
        )
        fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
        assert module.gradient_samples == expected


def test_gradients_are_averaged_by_default_over_prompts_that_share_out_examples(tmp_path):
    module = GCG(
        [Classification("zoo/instruct", layout="{prompt} {text} It is{answer}")],
        steps=1,
        batch_size=2,
        top_k=4,
        prompt_length=3,
    )
    data = LabelledExamples("zoo/moods", labels={"positive": "good", "negative": "bad"}, shots=2)
    fit(module, data, tmp_path, GreedySearch())
    assert module.gradient_samples == 16


def test_merged_candidates_join_the_best_swaps_of_the_best_parent(folders, pictures, tmp_path):
    module = build(GCG, folders, merge=3, batch_size=12, top_k=30, gradient_samples=2)
    module.load()
    a, b = (1, 2, 3, 4), (5, 6, 7, 8)
    swaps = {
        (9, 2, 3, 4): a,
        (10, 2, 3, 4): a,
        (1, 2, 11, 4): a,
        (5, 12, 7, 8): b,
        (1, 13, 3, 4): a,
        (1, 2, 3, 14): a,
    }
    scored = sorted((float(loss), state) for loss, state in enumerate(swaps))
    assert module._joined(scored, swaps) == [(9, 2, 11, 4), (9, 13, 11, 4)]


def test_merging_never_loses_against_single_swaps(folders, pictures, tmp_path, double):
    """The same draws: what is merged is only added."""
    losses = []
    for merge in (0, 4):
        module = build(
            GCG,
            folders,
            steps=1,
            merge=merge,
            batch_size=30,
            top_k=30,
            prompt_length=5,
            gradient_samples=2,
        )
        fit(module, ImageTargets(str(pictures)), tmp_path, GreedySearch())
        losses.append([row.loss for row in module.results])
    assert all(b <= a * (1 + SINGLE) for a, b in zip(*losses, strict=True))
    assert losses[0] != losses[1]


@pytest.mark.parametrize("ball", ["L0", "L2"])
def test_random_search_stays_in_its_ball_and_never_gets_worse(folders, pictures, tmp_path, ball):
    losses = []

    class Watched(RandomSearch):
        def propose(self, states):
            found = super().propose(states)
            (state,) = states[0]
            assert state in found[0]
            losses.append(score(self, [state])[0])
            table = self.objective.primary.embedding_table
            for candidate in found[0]:
                changed = [i for i in range(len(state)) if candidate[i] != state[i]]
                assert len(changed) <= 2
                for i in changed if ball == "L2" else []:
                    others = [t for t in self.allowed_ids.tolist() if t != state[i]]
                    distances = (table[others] - table[state[i]]).norm(dim=1)
                    limit = distances.sort().values[6]
                    assert (table[candidate[i]] - table[state[i]]).norm() <= limit * (1 + SINGLE)
            return found

    module = build(
        Watched,
        folders,
        steps=6,
        batch_size=10,
        search_ball=ball,
        radius=2,
        neighbours=7,
        prompt_length=4,
    )
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert all(b <= a * (1 + SINGLE) for a, b in pairwise(losses))


def test_swaps_run_over_a_clip_alone(folders, pictures, tmp_path):
    """The primary need not be a language model; its gradient is taken at the ids themselves."""
    module = GCG(
        [ImageSimilarity(folders["clip"], prefix="a picture of", suffix="in oil")],
        steps=4,
        batch_size=20,
        top_k=40,
        prompt_length=5,
        gradient_samples=3,
    )
    fit(module, ImageTargets(str(pictures)), tmp_path, GreedySearch())
    objective = module.objective
    objective.set_targets(ImageTargets(str(pictures)).find_targets())
    term = objective.terms[0]
    state = tuple(module.results[0].ids)
    prompts = objective.prompts([state], [0])
    assert prompts.canonical == [True]
    read = term.read(prompts)
    raw = term.read(prompts, ids=True)
    assert torch.equal(read.rows.ids, raw.rows.ids)
    assert torch.equal(read.prompt, raw.prompt)
    gradient, losses = embedding_gradient(objective, prompts)
    assert_near(losses, objective.losses(prompts))
    embeds = term.model.embed(read.rows.ids).detach().requires_grad_()
    (expected,) = torch.autograd.grad(term.loss(read, embeds).sum(), embeds)
    assert_near(gradient[0], expected[read.prompt])


def test_favoured_tokens_are_those_of_the_gradient_at_one_hot_vectors(folders, double):
    """A token is read, and it is what the model should have expected: both count."""
    module = GCG([Fluency(folders["gpt2"], prefix="An image of")], gradient_samples=0)
    module.load()
    module.searches = [TargetSearch.begin("0", "", 0)]
    model = module.objective.primary
    state = module.objective.encode_prompt("two red stars above")
    (tokens,) = module.best_tokens([state], [0], 7)
    head = [*model.start_ids, *model.tokenizer("An image of", add_special_tokens=False).input_ids]
    one_hot = F.one_hot(torch.tensor([*head, *state]), len(model.embedding_table)).float()
    one_hot.requires_grad_()
    logits = model.module(inputs_embeds=(one_hot @ model.embedding_table)[None]).logits[0, :-1]
    likely = (logits.log_softmax(-1) * one_hot[1:]).sum(-1)
    (grad,) = torch.autograd.grad(-likely[len(head) - 1 :].mean(), one_hot)
    for place, (token, found) in enumerate(zip(state, tokens.tolist(), strict=True)):
        change = grad[len(head) + place].masked_fill(~module.allowed, torch.inf)
        change[token] = torch.inf
        assert found == change.argsort()[:7].tolist()


def test_favoured_tokens_of_some_places_are_those_among_all(folders, pictures, double):
    """Also where a term reads the prompt with another tokenizer, and places are in any order."""
    module = build(GCG, folders, gradient_samples=0)
    module.load()
    module.objective.set_targets(ImageTargets(str(pictures)).find_targets())
    module.searches = [TargetSearch.begin(str(n), "", 0) for n in range(3)]
    texts = ["two red stars above", "a circle"]
    states, places = module.objective.encode_prompts(texts), [[3, 1], [0]]
    every = module.best_tokens(states, [2, 0], 9)
    some = module.best_tokens(states, [2, 0], 9, places)
    for whole, part, slots in zip(every, some, places, strict=True):
        assert torch.equal(part, whole[slots])


def test_memory_bounds_what_labels_are_read_at_once(folders):
    changes, rows = [], []
    for tokens in (8192, 16):
        objective = Objective([Fluency(folders["gpt2"])], max_batch_tokens=tokens)
        objective.load()
        plain = objective.primary.logits

        def watched(ids, *args, plain=plain, **kwargs):
            rows.append(len(ids))
            return plain(ids, *args, **kwargs)

        objective.primary.logits = watched
        texts = ["two red stars", "a circle", "the snow above a circle", "lovely"]
        states = [objective.encode_prompt(text) for text in texts]
        changes.append(label_changes(objective, objective.prompts(states, [0] * 4)))
    assert_near(changes[0], changes[1])
    assert rows[0] == 4
    assert sum(rows[1:]) == 4
    assert len(rows) > 2
