"""Choosing tokens, against transformers' own filters and against plain counting."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import TopKLogitsWarper, TopPLogitsWarper

from fuse_lightning.engine.sampling import Sampling, keep_likely, noise, pick

SEEDS = st.integers(0, 2**31)


def draw(seed, rows, width, ties):
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(rows, width, generator=generator, dtype=torch.float64)
    return logits.round(decimals=1) if ties else logits


@given(seed=SEEDS, top_k=st.integers(1, 40), ties=st.booleans())
def test_top_k_keeps_what_transformers_keeps(seed, top_k, ties):
    logits = draw(seed, 3, 30, ties)
    assert keep_likely(logits, top_k=top_k).equal(TopKLogitsWarper(top_k)(None, logits))


@given(seed=SEEDS, top_p=st.floats(0.05, 0.99), top_k=st.integers(1, 40))
def test_top_p_keeps_what_transformers_keeps(seed, top_p, top_k):
    logits = draw(seed, 3, 30, ties=False)
    expected = TopPLogitsWarper(top_p)(None, TopKLogitsWarper(top_k)(None, logits))
    assert keep_likely(logits, top_k, top_p).equal(expected)


@given(seed=SEEDS, data=st.data())
def test_a_number_picks_the_token_in_whose_part_it_falls(seed, data):
    odds = draw(seed, 4, 9, ties=False).exp()
    gone = torch.tensor(data.draw(st.lists(st.booleans(), min_size=9, max_size=9)))
    gone[data.draw(st.integers(0, 8))] = False
    odds = odds.masked_fill(gone, 0.0)
    numbers = st.floats(0, 1, exclude_max=True) | st.just(1 - 2**-53)
    drawn = torch.tensor([data.draw(numbers) for _ in range(4)], dtype=torch.float64)
    for row, found in enumerate(pick(odds, drawn).tolist()):
        assert odds[row, found] > 0
        total = float(odds[row].sum())
        before, after = float(odds[row, :found].sum()), float(odds[row, : found + 1].sum())
        assert before - 1e-9 * total <= float(drawn[row]) * total <= after + 1e-9 * total


def test_picked_tokens_are_as_frequent_as_they_are_probable():
    odds = torch.tensor([0.5, 0.0, 0.3, 0.2], dtype=torch.float64)
    drawn = torch.arange(1000, dtype=torch.float64) / 1000
    counts = pick(odds.expand(1000, -1), drawn).bincount(minlength=4)
    assert (counts - 1000 * odds).abs().max() <= 1
    assert counts[1] == 0


def test_without_temperature_the_likeliest_token_is_chosen():
    logits = torch.tensor([[0.0, 2.0, 1.0]])
    assert Sampling().choose(logits).tolist() == [1]
    # A temperature close to it does the same, whatever the number.
    cold = Sampling(temperature=1e-3)
    assert cold.choose(logits, torch.tensor([1 - 2**-53], dtype=torch.float64)).tolist() == [1]


@given(
    st.tuples(SEEDS, st.integers(0, 99), st.integers(0, 9)), st.integers(1, 5), st.integers(0, 5)
)
def test_noise_is_one_stream_of_its_own_for_each_text(key, count, more):
    assert noise(*key, count + more)[:count].tolist() == noise(*key, count).tolist()
    seed, stream, sample = key
    others = [(seed, stream, sample + 1), (seed, stream + 1, sample), (seed + 1, stream, sample)]
    assert not any(np.array_equal(noise(*other, 3), noise(*key, 3)) for other in others)
