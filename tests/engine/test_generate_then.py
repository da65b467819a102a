"""Ids that follow a text that has ended, and what is written behind them, against two calls."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from tests.engine.writing import known_ids, prompts_of, whole_logits
from tests.factories import causal_lms
from tests.factories.builders import ALL_CAUSAL_LMS
from tests.near import assert_near


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """A GPT-2 in float64, so that no two tokens are as likely up to rounding."""
    model = CausalLM(str(causal_lms.gpt2(tmp_path_factory.mktemp("exact") / "gpt2")))
    model.load()
    model.module.double()
    model.worth = 0
    return model


def in_two_calls(model, prompts, most, then, more, stops, **options):
    """The text, and behind it the given ids, what follows greedily."""
    firsts = model.generate(prompts, most, stop_ids=stops, **options)
    rows = [
        (*prompt, *ids, *then)
        for prompt, ids in zip(
            [prompt for prompt in prompts for _ in range(options.get("samples", 1))],
            firsts.ids,
            strict=True,
        )
    ]
    behind = model.generate(rows, more, stop_ids=stops)
    return [
        (ids, ended, (*ids, *then, *told))
        for ids, ended, told in zip(firsts.ids, firsts.ended, behind.ids, strict=True)
    ]


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 50),
    most=st.integers(1, 7),
    more=st.integers(1, 4),
    length=st.integers(0, 3),
    temperature=st.sampled_from([0.0, 1.5]),
    tokens=st.sampled_from([8192, 60, 25]),
)
def test_what_follows_is_what_a_second_call_writes(
    exact, seed, most, more, length, temperature, tokens
):
    prompts, known = prompts_of(exact, seed), known_ids(exact)
    then = tuple(known[(seed + 3 * n) % len(known)] for n in range(length))
    # Half of all tokens end a text, so that many end at once, and some with nothing in them.
    stops = known[seed % 2 :: 3]
    options = {} if temperature == 0 else {"temperature": temperature, "samples": 3, "seed": seed}
    wanted = in_two_calls(exact, prompts, most, then, more, stops, **options)
    exact.budget.tokens = tokens
    found = exact.generate(
        prompts, most, stop_ids=stops, then=then, then_tokens=more, cache=True, **options
    )
    exact.budget.tokens = 8192
    told = zip(found.ids, found.firsts, found.ended, strict=True)
    assert [(ids[:first], ended, ids) for ids, first, ended in told] == wanted


@pytest.mark.parametrize("name", ALL_CAUSAL_LMS)
def test_every_family_goes_on_behind_what_is_given(name, loaded):
    model = loaded(name)
    known = known_ids(model)
    then = tuple(known[:3])
    prompts = prompts_of(model)
    found = model.generate(prompts, 5, stop_ids=(), then=then, then_tokens=2)
    for prompt, ids, first, told in zip(
        prompts, found.ids, found.firsts, found.log_probs, strict=True
    ):
        assert first == 5
        assert ids[first : first + 3] == then
        assert len(ids) == len(told) == 10
        logits = whole_logits(model, (*prompt, *ids)).float()[len(prompt) - 1 : -1]
        written = logits.log_softmax(1).gather(1, torch.tensor(ids)[:, None]).squeeze(1)
        assert_near(torch.tensor(told), written)
        free = [0, 1, 2, 3, 4, 8, 9]
        best = logits[free, : model.vocab_size].max(1).values
        assert_near(logits[free, torch.tensor(ids)[free]], best, float(logits.abs().max()))


def test_there_stays_room_for_what_follows(exact):
    known = known_ids(exact)
    most = exact.max_tokens
    prompts = [tuple(known[n % len(known)] for n in range(most - room)) for room in (6, 9)]
    found = exact.generate(prompts, 50, stop_ids=(), then=known[:2], then_tokens=3)
    assert found.ended == ["full", "full"]
    assert found.firsts == [1, 4]
    assert [len(ids) for ids in found.ids] == [6, 9]
    with pytest.raises(FuseError, match="leaves no room"):
        exact.generate([prompts[0]], 50, then=known[:2], then_tokens=4)


def test_the_cache_holds_what_follows_too(exact):
    known = known_ids(exact)
    prompts = prompts_of(exact)
    found = exact.generate(prompts, 4, stop_ids=(), then=known[:2], then_tokens=2, cache=True)
    rows = [(*prompt, *ids, known[5]) for prompt, ids in zip(prompts, found.ids, strict=True)]
    assert [found.cache.find(row)[1] for row in rows] == [len(row) - 1 for row in rows]


def test_a_negative_number_of_tokens_is_refused(exact):
    with pytest.raises(FuseError, match=r"then_tokens is -1; give 0 or more"):
        exact.generate(prompts_of(exact), 4, then_tokens=-1)
