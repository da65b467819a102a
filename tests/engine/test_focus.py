"""Likelihoods among a few tokens and at other temperatures, against plain softmax in float64."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.engine.focus import Focus
from fuse_lightning.engine.likelihood import focused_nll
from fuse_lightning.models import CausalLM
from tests.engine.writing import known_ids, prompts_of, whole_logits
from tests.factories import causal_lms


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    model = CausalLM(str(causal_lms.gpt2(tmp_path_factory.mktemp("exact") / "gpt2")))
    model.load()
    model.module.double()
    model.worth = 0
    return model


def padded(rows, pad_id):
    width = max(map(len, rows))
    ids = torch.tensor([[*row, *[pad_id] * (width - len(row))] for row in rows])
    mask = torch.arange(width) < torch.tensor([*map(len, rows)])[:, None]
    return ids, mask


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 99),
    temperature=st.sampled_from([0.2, 1.0, 3.0]),
    tokens=st.sampled_from([8192, 20]),
    cached=st.booleans(),
)
def test_focused_tokens_are_compared_with_their_set(exact, seed, temperature, tokens, cached):
    known = known_ids(exact)
    draw = torch.Generator().manual_seed(seed)
    prompts = prompts_of(exact, seed)
    cache = None
    if cached:
        # What the model wrote itself is known, but not among a few tokens.
        written = exact.generate(prompts, 3, stop_ids=(), cache=True)
        cache = written.cache
        prompts = [(*row, *ids) for row, ids in zip(prompts, written.ids, strict=True)]
    ids, mask = padded(prompts, exact.pad_id)
    counted = mask & (torch.rand(ids.shape, generator=draw) < 0.7)
    counted[:, 0] = False
    places = counted & (torch.rand(ids.shape, generator=draw) < 0.5)
    of = torch.randint(-1, 2, ids.shape, generator=draw)
    sets = [torch.tensor(known[:5]), torch.tensor(known[3:])]
    for row, column in places.nonzero().tolist():
        number = int(of[row, column])
        if number >= 0 and ids[row, column] not in sets[number]:
            sets[number] = torch.cat([sets[number], ids[row, column, None]])
    exact.budget.tokens = tokens
    focus = Focus(places, sets, of, temperature)
    nll, likeliest = focused_nll(exact, ids, counted, focus, cache=cache)
    exact.budget.tokens = 8192
    for row, prompt in enumerate(prompts):
        logits = whole_logits(exact, prompt).double()
        for column in range(1, len(prompt)):
            before, own = logits[column - 1], prompt[column]
            if not counted[row, column]:
                wanted, first = 0.0, False
            elif not places[row, column]:
                wanted, first = -float(before.log_softmax(0)[own]), False
            else:
                number = int(of[row, column])
                some = before if number < 0 else before[sets[number]]
                wanted = float((some / temperature).logsumexp(0) - before[own] / temperature)
                first = bool(before[own] >= some.max())
            assert nll[row, column] == pytest.approx(wanted, abs=1e-4)
            assert bool(likeliest[row, column]) == first


def test_gradients_of_focused_tokens_are_those_of_a_plain_forward(exact):
    prompts = [row for row in prompts_of(exact) if len(row) > 4]
    ids, mask = padded(prompts, exact.pad_id)
    last = torch.arange(ids.shape[1]) == mask.sum(1, keepdim=True) - 1
    counted = last | (torch.arange(ids.shape[1]) == 3)
    sets = [torch.cat([torch.tensor(known_ids(exact)[:6]), ids[last]]).unique()]
    focus = Focus(last, sets, torch.zeros(ids.shape, dtype=torch.long), 0.5)
    given = exact.embed(ids).detach().requires_grad_()
    nll, _ = focused_nll(exact, ids, counted, focus, given)
    (found,) = torch.autograd.grad(nll.sum(), given)
    plain = exact.embed(ids).detach().requires_grad_()
    logits = exact.logits(ids, mask, plain)[:, :-1].double()
    scores = logits.log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
    among = (logits[:, :, sets[0]] / 0.5).logsumexp(-1) - (
        logits.gather(-1, ids[:, 1:, None]).squeeze(-1) / 0.5
    )
    total = (among * last[:, 1:]).sum() - (scores * (counted & ~last)[:, 1:]).sum()
    (wanted,) = torch.autograd.grad(total, plain)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)
