"""Rows that share a beginning with a gradient, against rows that share nothing."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.models import CausalLM
from tests.engine.test_focus import padded
from tests.engine.writing import known_ids
from tests.factories import causal_lms
from tests.near import SINGLE, assert_near


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    model = CausalLM(str(causal_lms.gpt2(tmp_path_factory.mktemp("exact") / "gpt2")))
    model.load()
    model.module.double()
    model.worth = 0
    return model


def told(model, rows, alike):
    """-log P of the last tokens, and its gradient at each beginning of rows."""
    ids, mask = padded(rows, model.pad_id)
    last = torch.arange(ids.shape[1]) == mask.sum(1, keepdim=True) - 1
    embeds = model.embed(ids).detach().requires_grad_()
    nll = model.token_nll(ids, last, embeds, alike=alike).sum(1)
    (grad,) = torch.autograd.grad(nll.sum(), embeds)
    sums = {}
    for row, found in zip(rows, grad, strict=True):
        for place in range(len(row)):
            begun = row[: place + 1]
            sums[begun] = sums.get(begun, 0) + found[place]
    return nll, torch.stack([sums[begun] for begun in sorted(sums)])


@settings(max_examples=25, deadline=None)
@given(
    tails=st.lists(
        st.lists(st.integers(0, 2), min_size=1, max_size=5).map(tuple),
        min_size=2,
        max_size=7,
        unique=True,
    )
)
def test_a_shared_beginning_has_the_embeddings_of_a_row_that_holds_all_of_it(exact, tails):
    known = known_ids(exact)
    rows = [(*known[5:10], *(known[n] for n in tail)) for tail in tails]
    shared = told(exact, rows, torch.zeros(len(rows), dtype=torch.long))
    for found, wanted in zip(shared, told(exact, rows, None), strict=True):
        assert_near(found, wanted, share=SINGLE)


def test_a_row_that_leaves_early_does_not_lend_its_embeddings(exact):
    known = known_ids(exact)
    begun = known[:9]
    rows = [
        (*begun, known[20], known[30]),
        (*begun, known[21], known[22], known[31]),
        (*begun, known[21], known[23], known[32]),
    ]
    shared = told(exact, rows, torch.zeros(3, dtype=torch.long))
    for found, wanted in zip(shared, told(exact, rows, None), strict=True):
        assert_near(found, wanted, share=SINGLE)
