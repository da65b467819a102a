"""Keys and values of what was generated, handed over to likelihoods of what follows."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.engine.token_batch import pad
from fuse_lightning.models import CausalLM
from tests.factories import causal_lms
from tests.factories.builders import ALL_CAUSAL_LMS
from tests.near import assert_near

WHOLE = {"falcon", "falcon_alibi", "falcon_grouped", "gemma2", "mamba"}
SHARING = sorted({*ALL_CAUSAL_LMS} - WHOLE)
EXTRACTOR = (5, 6, 7)
LABELS = ((8,), (9, 10), (8, 11))


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    model = CausalLM(str(causal_lms.gpt2(tmp_path_factory.mktemp("exact") / "gpt2")))
    model.load()
    model.worth = 0
    return model


def prompts_of(model, count=5, shared=4, seed=0):
    rng = random.Random(seed)
    known = range(12, min(model.vocab_size, 60))
    first = rng.choices(known, k=shared)
    rows = [(*first, *rng.choices(known, k=rng.randint(1, 5))) for _ in range(count)]
    return list(dict.fromkeys(rows))


def scored(prompts, texts, labels=LABELS, extractor=EXTRACTOR):
    """Rows of prompt, text, extractor and label, and the labels' tokens counted."""
    rows, counted = [], []
    for prompt, text in zip(prompts, texts, strict=True):
        for label in labels:
            before = (*prompt, *text, *extractor)
            rows.append((*before, *label))
            counted.append([False] * len(before) + [True] * len(label))
    ids = pad(rows, None, 0).ids
    mask = torch.zeros(ids.shape, dtype=torch.bool)
    for place, some in enumerate(counted):
        mask[place, : len(some)] = torch.tensor(some)
    return ids, mask


def positions_of(model):
    positions = []
    handle = model.embedding_layer.register_forward_hook(
        lambda _, inputs, __: positions.append(inputs[0].numel())
    )
    return positions, handle


@pytest.mark.parametrize("name", SHARING)
@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "samples": 3}])
def test_likelihoods_are_those_of_whole_rows(name, options, loaded):
    model = loaded(name)
    prompts = prompts_of(model)
    found = model.generate(prompts, 6, cache=True, **options)
    repeated = [prompt for prompt in prompts for _ in range(options.get("samples", 1))]
    assert len(found.cache) == len(found.ids)
    # Texts cut short, and one that was not written.
    texts = [ids[: len(ids) - place % 3] for place, ids in enumerate(found.ids)]
    ids, counted = scored([*repeated, (3, 4)], [*texts, (5,)])
    counted[::2, 2:] |= ids[::2, 2:] > 0
    got = model.token_nll(ids, counted, cache=found.cache)
    assert_near(got, model.token_nll(ids, counted))
    found.cache.clear()
    assert_near(model.token_nll(ids, counted, cache=found.cache), got)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("labels", [LABELS[:1], LABELS])
def test_no_position_is_computed_twice(samples, labels, loaded, monkeypatch):
    """Prompts, texts, extractor and labels: each distinct beginning of a row once."""
    model = loaded("gpt2")
    prompts = prompts_of(model)
    computed, logits_at = [], model.logits_at

    def counting(places, ids, mask, *args):
        computed.append(int(mask.sum()))
        return logits_at(places, ids, mask, *args)

    monkeypatch.setattr(model, "logits_at", counting)
    found = model.generate(
        prompts, 6, temperature=1.0, samples=samples, stop_ids=(), cache=True, seed=3
    )
    assert len({*found.ids}) == len(prompts) * samples
    repeated = [prompt for prompt in prompts for _ in range(samples)]
    ids, counted = scored(repeated, found.ids, labels)
    with torch.no_grad():
        model.token_nll(ids, counted, cache=found.cache)
    needed = {prompt[:end] for prompt in prompts for end in range(1, len(prompt) + 1)}
    # The last token of a label is not read. That samples begin alike is seen too late to share.
    last = (counted * torch.arange(counted.shape[1])).amax(1).tolist()
    for number, (row, end) in enumerate(zip(ids.tolist(), last, strict=True)):
        text = number // len(labels)
        needed |= {(text, *row[:stop]) for stop in range(len(repeated[text]) + 1, end + 1)}
    assert sum(computed) == len(needed)


def test_likelihoods_of_what_was_written_need_no_forward(loaded, monkeypatch):
    model = loaded("llama")
    prompts = prompts_of(model)
    found = model.generate(prompts, 6, stop_ids=(), cache=True)
    rows = [(*prompt, *ids) for prompt, ids in zip(prompts, found.ids, strict=True)]
    ids = pad(rows, None, 0).ids
    starts = torch.tensor([len(prompt) for prompt in prompts])
    lengths = torch.tensor([len(row) for row in rows])
    place = torch.arange(ids.shape[1])
    counted = (place >= starts[:, None]) & (place < lengths[:, None])
    expected = model.token_nll(ids, counted)
    model.forget()
    found = model.generate(prompts, 6, stop_ids=(), cache=True)
    monkeypatch.setattr(model, "logits_at", None)
    got = model.token_nll(ids, counted, cache=found.cache)
    assert_near(got, expected)
    assert_near(-got.sum(1), torch.tensor([sum(told) for told in found.log_probs]))


@pytest.mark.parametrize("name", ["gpt2", "gemma3", "phi3", "qwen2"])
def test_gradients_behind_what_was_written_are_those_of_whole_rows(name, loaded):
    model = loaded(name)
    prompts = prompts_of(model)
    with torch.inference_mode():
        found = model.generate(prompts, 6, stop_ids=(), cache=True)
    ids, counted = scored(prompts, found.ids)
    counted[:, 2:] |= ids[:, 2:] > 0
    rng = random.Random(0)
    fixed = torch.tensor([rng.randint(0, ids.shape[1] - 4) for _ in ids])
    grads = []
    for cache in (found.cache, None):
        embeds = model.embed(ids).detach().requires_grad_()
        losses = model.token_nll(ids, counted, embeds, fixed, cache)
        (grad,) = torch.autograd.grad(losses.square().sum() + 0 * embeds.sum(), embeds)
        grads.append((losses.detach(), grad))
    (losses, grad), (expected, whole) = grads
    assert_near(losses, expected)
    free = torch.arange(ids.shape[1]) >= fixed[:, None]
    assert whole[free].abs().max() > 1e-4
    assert_near(grad[free], whole[free], float(whole.abs().max()), share=1e-3)


def test_gradients_without_anything_fixed_use_nothing_that_was_kept(loaded):
    model = loaded("gpt2")
    prompts = prompts_of(model)
    found = model.generate(prompts, 6, stop_ids=(), cache=True)
    ids, counted = scored(prompts, found.ids)
    counted[:, 2:] |= ids[:, 2:] > 0
    grads = []
    for cache in (found.cache, None):
        embeds = model.embed(ids).detach().requires_grad_()
        model.token_nll(ids, counted, embeds, None, cache).sum().backward()
        grads.append(embeds.grad)
    assert_near(*grads)
    assert grads[1].abs().max() > 1e-4


@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_any_rows_are_scored_as_afresh(exact, data):
    """Rows that agree with written ones anywhere, in batches of any size."""
    token = st.integers(12, 16)
    prompts = data.draw(st.lists(st.lists(token, min_size=1, max_size=4).map(tuple), min_size=1))
    samples = data.draw(st.integers(1, 3))
    exact.budget.tokens = data.draw(st.sampled_from([8192, 100, 30]))
    found = exact.generate(
        prompts, 5, temperature=1.0, samples=samples, cache=True, stop_ids=range(0, 200, 7)
    )
    written = [(*prompts[place // samples], *ids) for place, ids in enumerate(found.ids)]
    rows = []
    for row in written:
        cut = data.draw(st.integers(1, len(row)))
        more = data.draw(st.lists(token, min_size=1, max_size=3))
        rows += [(*row[:cut], *more), (*row, *more), (*row, *more, 12)]
    ids = pad(rows, None, 0).ids
    lengths = torch.tensor([len(row) for row in rows])
    first = torch.tensor([data.draw(st.integers(1, len(row) - 1)) for row in rows])
    place = torch.arange(ids.shape[1])
    counted = (place >= first[:, None]) & (place < lengths[:, None])
    got = exact.token_nll(ids, counted, cache=found.cache)
    assert found.cache.positions <= exact.budget.tokens
    exact.budget.tokens = 8192
    assert_near(got, exact.token_nll(ids, counted))


@pytest.mark.parametrize("tokens", [40, 90])
def test_no_more_is_kept_than_the_budget_has(tokens, loaded):
    model = loaded("gpt2")
    model.budget.tokens = tokens
    prompts = prompts_of(model, count=9)
    for options in ({}, {"temperature": 1.0, "samples": 4}):
        found = model.generate(prompts, 8, stop_ids=(), cache=True, **options)
        assert 0 < len(found.cache) < len(found.ids)
        assert found.cache.positions <= tokens
        held = {
            id(part): part.shape[0] * part.shape[2]
            for piece in found.cache._pieces
            for store in (piece.own, *(block.store for block in piece.blocks))
            for part in [next(iter(store.layers.values()))[0]]
        }
        assert sum(held.values()) == found.cache.positions
        repeated = [prompt for prompt in prompts for _ in range(options.get("samples", 1))]
        ids, counted = scored(repeated, found.ids)
        got = model.token_nll(ids, counted, cache=found.cache)
        assert_near(got, model.token_nll(ids, counted))


def test_a_model_that_forgets_frees_what_was_kept(loaded):
    model = loaded("gpt2")
    first, second = (model.generate(prompts_of(model), 4, cache=True).cache for _ in range(2))
    assert first.positions
    assert second.positions
    model.forget()
    for cache in (first, second):
        assert len(cache) == cache.positions == 0
        assert not cache._pieces


@pytest.mark.parametrize("name", ["gpt2", "mamba"])
def test_nothing_is_kept_unless_asked_for_nor_where_nothing_can_be(name, loaded):
    model = loaded(name)
    prompts = prompts_of(model)
    found = model.generate(prompts, 4, stop_ids=(), cache=name == "mamba")
    assert len(found.cache) == 0
    ids, counted = scored(prompts, found.ids)
    got = model.token_nll(ids, counted, cache=found.cache)
    assert_near(got, model.token_nll(ids, counted))


def test_what_another_precision_kept_is_not_used(loaded):
    model = loaded("gpt2")
    prompts = prompts_of(model)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.generate(prompts, 4, stop_ids=(), cache=True)
    assert len(found.cache)
    ids, counted = scored(prompts, found.ids)
    positions, handle = positions_of(model)
    got = model.token_nll(ids, counted, cache=found.cache)
    afresh = sum(positions)
    expected = model.token_nll(ids, counted)
    handle.remove()
    assert sum(positions) == 2 * afresh
    assert_near(got, expected)


def test_what_next_tokens_told_is_used_beside_what_was_generated(loaded):
    model = loaded("gpt2")
    prompts = prompts_of(model)
    found = model.generate(prompts, 5, stop_ids=(), cache=True)
    written = [(*prompt, *ids) for prompt, ids in zip(prompts, found.ids, strict=True)]
    others = [(20, 21, 22), (20, 23)]
    model.next_log_probs([*others, written[1]])
    rows = [*written, *((*row, 9) for row in (*others, *written))]
    ids = pad(rows, None, 0).ids
    lengths = torch.tensor([len(row) for row in rows])
    place = torch.arange(ids.shape[1])
    counted = (place > 0) & (place < lengths[:, None])
    got = model.token_nll(ids, counted, cache=found.cache)
    model.forget()
    assert_near(got, model.token_nll(ids, counted))
