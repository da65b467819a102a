"""Likelihoods where memory runs out in the middle, against those where it does not."""

import itertools

import pytest
import torch

from fuse_lightning.engine.token_batch import pad
from fuse_lightning.models import CausalLM
from tests.near import assert_near

ROWS = [
    (*beginning, *range(last + number, last + 2 + 2 * number))
    for beginning, last in (((1, 2, 3, 4, 5, 9), 20), ((11, 12, 13, 14, 15, 9), 30))
    for number in range(4)
]


def likelihoods(model, monkeypatch, tokens, failing=()):
    """Likelihoods and gradients, while some of the forwards run out of memory."""
    model.budget.tokens = model.budget.most = tokens
    batch, forward, calls = pad(ROWS, None, 0), CausalLM.logits_at, itertools.count()
    counted = batch.mask.clone()
    counted[:, :4] = False
    embeds = model.embed(batch.ids).detach().requires_grad_()

    def logits_at(*given):
        if next(calls) in failing:
            raise torch.OutOfMemoryError
        return forward(*given)

    with monkeypatch.context() as patch:
        patch.setattr(CausalLM, "logits_at", logits_at)
        nll = model.token_nll(batch.ids, counted, embeds, torch.full((len(ROWS),), 6))
    (gradient,) = torch.autograd.grad(nll.sum(), embeds)
    return nll.detach(), gradient


@pytest.mark.parametrize("tokens", [12, 16, 30])
def test_gradients_are_added_once_where_memory_runs_out(loaded, monkeypatch, tokens):
    model = loaded("gpt2")
    assert model.shares
    nll, gradient = likelihoods(model, monkeypatch, 8192)
    # It takes most of the time in a process that holds many tests.
    monkeypatch.setattr("fuse_lightning.engine.budget.gc.collect", lambda: 0)
    held = 0
    for failing in itertools.combinations(range(7), 3):
        try:
            found = likelihoods(model, monkeypatch, tokens, failing)
        except torch.OutOfMemoryError:
            continue
        held += 1
        assert_near(found[0], nll, share=1e-4)
        assert_near(found[1], gradient, share=1e-4)
    assert held > 3


@pytest.mark.parametrize("tokens", [16, 8192])
def test_trunks_behind_trunks_are_counted_once_where_memory_runs_out(loaded, monkeypatch, tokens):
    model, forward = loaded("gpt2"), CausalLM.logits_at
    labels = ((40, 41, 42), (50, 51, 52))
    rows = [
        (1, *range(2 + n, 6 + n), *range(10 + k, 16 + k), *end)
        for n, k, end in itertools.product(range(0, 12, 4), range(0, 18, 6), labels)
    ]
    ids = pad(rows, None, 0).ids
    counted = torch.ones(ids.shape, dtype=torch.bool)
    counted[:, 0] = False
    model.budget.tokens = model.budget.most = 8192
    expected = model.token_nll(ids, counted)
    monkeypatch.setattr("fuse_lightning.engine.budget.gc.collect", lambda: 0)
    held = 0
    for failing in range(5):
        calls = itertools.count()

        def logits_at(*given, calls=calls, failing=failing):
            if next(calls) == failing:
                raise torch.OutOfMemoryError
            return forward(*given)

        model.budget.tokens = model.budget.most = tokens
        with monkeypatch.context() as patch:
            patch.setattr(CausalLM, "logits_at", logits_at)
            try:
                found = model.token_nll(ids, counted)
            except torch.OutOfMemoryError:
                continue
        held += 1
        assert_near(found, expected)
    model.budget.tokens = model.budget.most = 8192
    assert held > 1


def test_a_forward_whose_sums_do_not_fit_is_tried_again(loaded, monkeypatch):
    model = loaded("gpt2")
    nll, _ = likelihoods(model, monkeypatch, 8192)
    whole, calls = torch.Tensor.logsumexp, itertools.count()

    def logsumexp(*given):
        if next(calls) == 0:
            raise torch.OutOfMemoryError
        return whole(*given)

    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "logsumexp", logsumexp)
        found, _ = likelihoods(model, patch, 8192)
    assert_near(found, nll, share=1e-4)
