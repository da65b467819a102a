"""AutoDAN runs: exactness, starts, ends."""

import shutil
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.pytorch.callbacks import ModelCheckpoint

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.data import ImageTargets, SentimentTargets, Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CLIP
from fuse_lightning.objectives import (
    Continuation,
    Fluency,
    ImageSimilarity,
    Sample,
    Sentiment,
    TextSimilarity,
    predicted_change,
    smoothed_gradient,
)
from fuse_lightning.optimizers import AutoDAN
from fuse_lightning.optimizers.autodan import top_rows
from fuse_lightning.search import BeamSearch, GreedySearch
from fuse_lightning.search.target_search import TargetSearch
from tests.factories import tiny
from tests.factories.folders import edit_json
from tests.near import near
from tests.optimizers.runs import build, fit

CHAT = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:\n{% endif %}"
)
STEPS = 5
optimizer = partial(build, AutoDAN, steps=STEPS, batch_size=6, gradient_samples=4)


def test_exhaustive_greedy_search_equals_brute_force(folders, pictures, tmp_path, double):
    """With every token scored, the gradient cannot matter, and each step is an argmin."""
    everything = len(tiny.tokenizer("byte"))
    module = optimizer(folders, batch_size=everything, steps=3, end_probability=1.0)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    objective = module.objective
    state, best = (), None
    for _ in range(3):
        children = [(*state, token) for token in module.allowed_ids.tolist()]
        prompts = objective.prompts(children, [0] * len(children))
        scored = []
        for row, child in enumerate(children):
            if prompts.canonical[row]:
                one = prompts.select([row])
                scored.append((float(objective.total(objective.losses(one))[0]), child))
        loss, state = min(scored)
        best = min(best or (loss, state), (loss, state))
    assert tuple(module.results[0].ids) == best[1]
    assert module.results[0].loss == near(best[0])


@pytest.mark.parametrize("top", [1, 3])
def test_what_reduced_precision_finds_is_scored_exactly(top, folders, pictures, tmp_path):
    found = {}
    for rescore in (True, False):
        module = optimizer(folders, top=top, rescore=rescore)
        data = ImageTargets(str(pictures))
        fit(module, data, tmp_path, BeamSearch(2), precision="bf16-mixed")
        module.objective.scores.forget()
        errors = []
        for result in module.results:
            targets = [target for target in data.find_targets() if target.id == result.target]
            module.objective.set_targets(targets)
            prompts = module.objective.prompts([tuple(result.ids)], [0])
            exact = float(module.objective.total(module.objective.losses(prompts))[0])
            errors.append(abs(result.loss - exact) / exact)
        found[rescore] = max(errors)
    assert found[True] < 1e-5 < 1e-4 < found[False]


def test_checkpoints_hold_no_weights(folders, pictures, tmp_path):
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=1, save_last=True)
    module = optimizer(folders)
    fit(module, ImageTargets(str(pictures)), tmp_path, BeamSearch(2), saver)
    assert (tmp_path / "last.ckpt").stat().st_size < 40_000
    assert not list(module.parameters())
    torch.load(tmp_path / "last.ckpt", weights_only=True)


def test_published_settings_take_the_gradient_at_one_fixed_token(folders, pictures, tmp_path):
    module = optimizer(folders, gradient_samples=0, gradient_weight=1.0)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert module.results[0].prompt


def test_maximum_length_ends_growth(folders, pictures, tmp_path):
    module = optimizer(folders, max_length=2)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, BeamSearch(3))
    assert len(module.results[0].ids) <= 2
    assert module.frontier.expand() == [[]]


def test_patience_ends_a_target_that_does_not_improve(folders, pictures, tmp_path):
    calls = []

    class Counting(AutoDAN):
        def propose(self, states):
            calls.append(states)
            return super().propose(states)

    terms = optimizer(folders).objective.terms
    module = Counting(terms, steps=30, batch_size=4, patience=2, gradient_samples=2, max_length=40)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert len(calls) == min(30, module.results[0].step + 2)


def test_growth_begins_at_a_given_text_or_at_random_tokens(folders, pictures, tmp_path):
    module = optimizer(folders, initial_prompt="two red stars", steps=2)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert module.results[0].prompt.startswith("two red stars")
    module = optimizer(folders, prompt_length=2, steps=2)
    fit(module, ImageTargets(str(pictures / "0.png")), tmp_path, GreedySearch())
    assert len(module.results[0].ids) in (3, 4)


@pytest.mark.parametrize("images", [None, "0.png"])
def test_sentiment_targets_run(folders, pictures, tmp_path, images):
    terms = [Fluency(folders["gpt2"]), Sentiment(folders["classifier"], weight=3)]
    if images:
        terms.append(ImageSimilarity(folders["clip"], weight=2))
    module = AutoDAN(terms, steps=3, batch_size=4, adapter=AdapterSettings(cache=False))
    data = SentimentTargets(["positive", "negative"], images and str(pictures / images))
    fit(module, data, tmp_path, BeamSearch(2))
    assert len(module.results) == 2
    assert set(module.results[0].losses) == {term.name for term in terms}


def test_a_clip_cannot_write(folders):
    with pytest.raises(FuseError, match="put Fluency first"):
        AutoDAN([TextSimilarity(CLIP(folders["clip"]))])


SCORES = st.sampled_from([-torch.inf, torch.nan]) | st.integers(-8, 8).map(float)


@settings(deadline=None)
@given(
    st.lists(st.lists(SCORES, min_size=7, max_size=7), min_size=1, max_size=3), st.integers(1, 9)
)
def test_the_best_scores_are_taken_and_none_that_is_forbidden_or_no_number(scores, count):
    rows = top_rows(torch.tensor(scores), count)
    for row, found in zip(scores, rows, strict=True):
        known = sorted((value for value in row if value > -torch.inf), reverse=True)
        assert [row[index] for index in found] == known[:count]
        assert len(set(found)) == len(found)


def prediction(module, states, weights):
    """What ranks next tokens, from the objective's parts, one state at a time."""
    objective, writer, rows = module.objective, module.writer, []
    for state in states:
        total = torch.zeros(writer.vocab_size)
        for weight, prefix in weights:
            ids = [
                *writer.start_ids,
                *writer.tokenizer(prefix, add_special_tokens=False).input_ids,
                *state,
            ]
            logits = writer.module(torch.tensor([ids])).logits[0, -1]
            total += weight * logits.log_softmax(-1)[: writer.vocab_size] / (len(state) + 1)
        if module.gradient_weight:
            dummy = (*state, int(module.allowed_ids[0]))
            heads = smoothed_gradient(
                objective, [Sample(dummy, 0, {len(state)})], [0], module._predicted
            )
            change = predicted_change(heads, [(0, len(state))], module.allowed)[0]
            total -= module.gradient_weight * change
        rows.append(total.masked_fill(~module.allowed, -torch.inf))
    return rows


@pytest.mark.parametrize(
    "options",
    [
        {"logit_weight": 0.0, "gradient_weight": 1.0},
        {"logit_weight": 1.0, "gradient_weight": 0.0},
        {"logit_weight": 0.5, "gradient_weight": 0.7},
    ],
)
@torch.no_grad()
def test_proposals_are_what_is_likely_and_predicted_to_lower_the_loss(
    folders, pictures, double, options
):
    module = optimizer(folders, batch_size=12, gradient_samples=0, end_probability=1.0, **options)
    module.load()
    module.searches = [TargetSearch.begin("0", "", 0)]
    module.objective.set_targets(ImageTargets(str(pictures / "0.png")).find_targets())
    state = module.objective.encode_prompt("two red")
    (proposed,) = module.propose([[state]])
    (scores,) = prediction(module, [state], [(module.logit_weight, "An image of")])
    ranked = scores.argsort(descending=True).tolist()
    places = [ranked.index(found[-1]) for found in proposed]
    assert places == sorted(places)
    children = [(*state, token) for token in ranked[: places[-1] + 1]]
    canonical = module.objective.prompts(children, [0] * len(children)).canonical
    assert len(proposed) == sum(canonical) == 12


@pytest.mark.parametrize("begun", ["", "An image of "])
@torch.no_grad()
def test_a_chat_model_writes_the_prompt_as_its_answer(begun, folders, tmp_path):
    chat = tmp_path / "chat"
    shutil.copytree(folders["gpt2"], chat)
    edit_json(chat / "tokenizer_config.json", chat_template=CHAT)
    turns = [
        {"role": "user", "content": "What is it?"},
        {"role": "assistant", "content": begun + "{prompt}"},
    ]
    module = AutoDAN([Fluency(str(chat), layout=turns)], batch_size=8, end_probability=1.0)
    module.load()
    module.searches = [TargetSearch.begin("0", "", 0)]
    text = "two red"
    state = tuple(module.writer.tokenizer(begun[-1:] + text).input_ids)
    (proposed,) = module.propose([[state]])
    asked = module.writer.tokenizer.apply_chat_template(
        turns[:1], tokenize=False, add_generation_prompt=True
    )
    ids = [*module.writer.start_ids, *module.writer.tokenizer(asked + begun + text).input_ids]
    scores = module.writer.module(torch.tensor([ids])).logits[0, -1, : module.writer.vocab_size]
    ranked = scores.masked_fill(~module.allowed, -torch.inf).argsort(descending=True).tolist()
    places = [ranked.index(found[-1]) for found in proposed]
    assert places == sorted(places)
    children = [(*state, token) for token in ranked[: places[-1] + 1]]
    assert sum(module.objective.prompts(children, [0] * len(children)).canonical) == 8


@pytest.mark.parametrize("sign", [1, -1])
@torch.no_grad()
def test_every_likelihood_by_the_writer_ranks_with_its_weight(sign, folders, double):
    terms = [
        Fluency(folders["gpt2"], weight=2.0 * sign, prefix="An image of"),
        Fluency(folders["gpt2"], weight=-3.0, prefix="the snow, how", name="other"),
    ]
    module = AutoDAN(terms, batch_size=10, gradient_weight=0.0, end_probability=1.0)
    module.load()
    module.searches = [TargetSearch.begin("0", "", 0)]
    state = module.objective.encode_prompt("two red")
    (proposed,) = module.propose([[state]])
    weights = [(1.0 * sign, "An image of"), (-1.5, "the snow, how")]
    ranked = prediction(module, [state], weights)[0].argsort(descending=True).tolist()
    places = [ranked.index(found[-1]) for found in proposed]
    assert places == sorted(places)
    assert places[0] < 5


@pytest.mark.parametrize(("first", "second"), [("", "Q:"), ("An image of", ""), ("Q:", "a\n")])
@torch.no_grad()
def test_a_first_token_ranks_as_each_term_reads_it(first, second, folders):
    terms = [
        Fluency(folders["gpt2"], prefix=first),
        Fluency(folders["gpt2"], weight=3.0, prefix=second, name="other"),
    ]
    module = AutoDAN(terms, batch_size=10_000, gradient_weight=0.0, end_probability=1.0)
    module.load()
    module.searches = [TargetSearch.begin("0", "", 0)]
    (proposed,) = module.propose([[()]])
    openings = terms[1].row_readers[0].openings(terms[1].home)
    # What is read as several tokens has a likelihood of its own, that is not known here.
    single = [state for state in proposed if len(openings.ids[state[0]]) == 1]
    totals = module.objective.total(
        module.objective.losses(module.objective.prompts(single, [0] * len(single)))
    )
    assert len(single) > 20
    assert (totals.diff() > -1e-4).all()


def test_a_state_that_fills_a_later_terms_context_is_not_extended(folders):
    first = Fluency(folders["gpt2"], prefix="red")
    terms = [first, Fluency(folders["gpt2"], prefix="red " * 30, name="other")]
    module = AutoDAN(terms, batch_size=4, gradient_weight=0.0, end_probability=1.0)
    module.load()
    module.searches = [TargetSearch.begin("0", "", 0)]
    room = module.writer.max_tokens - len(terms[1].frame.head)
    state = module.objective.encode_prompt("red " * room)
    assert len(state) == room
    assert module.propose([[state]]) == [[]]
    assert module.propose([[state[:-1]]])[0]


def weighted(folders, weights, first, **options):
    classes = {"fluency": Fluency, "continuation": partial(Continuation, label="red star")}
    terms = [
        classes[first](folders["gpt2"], weight=weights[0], prefix="An image of"),
        TextSimilarity(CLIP(folders["clip"]), weight=weights[1], text="two red stars"),
    ]
    if len(weights) > 2:
        terms.append(Fluency(folders["gpt2"], weight=weights[2], prefix="Q:", name="other"))
    adapter = AdapterSettings(cache=False)
    module = AutoDAN(terms, batch_size=12, gradient_samples=2, adapter=adapter, **options)
    module.load()
    module.objective.set_targets([Target("one")])
    return module


@pytest.mark.slow
@pytest.mark.parametrize("first", ["fluency", "continuation"])
@pytest.mark.parametrize("weights", [(1.0, 6.0), (0.1, 2.0), (-1.0, 3.0), (0.0, 5.0), (1, 2, 3)])
@settings(max_examples=4)
@given(factor=st.sampled_from([0.01, 0.1, 0.3, 7.0, 100.0]))
def test_weights_times_a_number_propose_the_same(first, weights, factor, folders):
    found = []
    for times in (1.0, factor):
        module = weighted(folders, [times * weight for weight in weights], first)
        module.searches = [TargetSearch.begin("0", "", 0)]
        states = [[(), *map(module.objective.encode_prompt, ("two red", "a star above it"))]]
        found.append(module.propose(states))
    assert found[0] == found[1]


@torch.no_grad()
def test_without_a_mean_likelihood_the_writer_counts_alike_at_every_length(folders):
    module = weighted(folders, (2.0, 1e-9), "continuation", end_probability=1.0)
    seen = []
    module.admission.first = lambda groups, owners, most, growing: [[*group] for group in groups]
    module._predict = lambda parents, owners: (
        seen.append(parents)
        or torch.stack([torch.arange(module.writer.vocab_size).float() for _ in parents])
    )
    module.searches = [TargetSearch.begin("0", "", 0)]
    state = module.objective.encode_prompt("two red stars above a circle")
    (proposed,) = module.propose([[state]])
    head = module.objective.terms[0].frame.head
    told = module.writer.next_log_probs([(*head, *state)])[0]
    scores = told - 0.25 * torch.arange(len(told)) / 2.0
    ranked = scores.masked_fill(~module.allowed, -torch.inf).argsort(descending=True)
    assert [found[-1] for found in proposed] == ranked[: len(proposed)].tolist()


def test_a_length_of_nothing_is_refused(folders):
    with pytest.raises(FuseError, match="max_length is 0; it must be at least 1"):
        optimizer(folders, max_length=0)
