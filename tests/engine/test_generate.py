"""Texts that are written, against transformers' own and against plain loops without a cache."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Phi3Config, Phi3ForCausalLM

from fuse_lightning.engine.attention import NAME, use
from fuse_lightning.engine.sampling import noise
from fuse_lightning.engine.whole_decoding import left_padded, plain_generation
from fuse_lightning.models import CausalLM
from tests.engine.writing import assert_greedy, known_ids, prompts_of, whole_logits
from tests.factories import causal_lms, folders, tokenizers
from tests.factories.builders import ALL_CAUSAL_LMS
from tests.near import assert_near, near

CAUSAL_LMS = ALL_CAUSAL_LMS
# Their attention is their own, has a cap on its scores, or is none.
WHOLE = {"falcon", "falcon_alibi", "falcon_grouped", "gemma2", "mamba"}
TURN = 14


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    """A GPT-2 in float64, so that no two tokens are as likely up to rounding."""
    model = CausalLM(str(causal_lms.gpt2(tmp_path_factory.mktemp("exact") / "gpt2")))
    model.load()
    model.module.double()
    model.worth = 0
    return model


@pytest.fixture(scope="module")
def long_rope(tmp_path_factory):
    tokenizer = tokenizers.llama_tokenizer()
    config = Phi3Config(
        **folders.SHAPE,
        vocab_size=len(tokenizer),
        num_key_value_heads=1,
        max_position_embeddings=64,
        original_max_position_embeddings=TURN,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 100.0,
            "short_factor": [1.0, 1.1, 1.2, 1.3],
            "long_factor": [3.0, 5.0, 8.0, 13.0],
            "original_max_position_embeddings": TURN,
        },
        pad_token_id=None,
    )
    folder = tmp_path_factory.mktemp("long") / "phi3"
    model = CausalLM(str(folders.save(folder, Phi3ForCausalLM, config, tokenizer)))
    model.load()
    model.worth = 0
    return model


@pytest.mark.parametrize("name", CAUSAL_LMS)
@pytest.mark.parametrize("tokens", [8192, 40])
def test_every_family_writes_the_likeliest_tokens(name, tokens, loaded):
    model = loaded(name)
    model.budget.tokens = tokens
    prompts = prompts_of(model)
    found = model.generate(prompts, 12, stop_ids=())
    model.budget.tokens = 8192
    assert found.ended == ["length"] * len(prompts)
    for prompt, ids, log_probs in zip(prompts, found.ids, found.log_probs, strict=True):
        assert len(ids) == len(log_probs) == 12
        assert_greedy(model, prompt, ids, log_probs)


def test_the_tokens_are_those_that_transformers_writes(exact):
    prompts = prompts_of(exact)
    ids, mask = left_padded(exact, prompts)
    use(exact.module, "sdpa")
    with plain_generation(exact.module):
        expected = exact.module.generate(
            input_ids=ids,
            attention_mask=mask.long(),
            max_new_tokens=12,
            pad_token_id=exact.pad_id,
        )
    use(exact.module, NAME)
    found = exact.generate(prompts, 12, stop_ids=())
    assert found.ids == [tuple(row[ids.shape[1] :]) for row in expected.tolist()]


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma2", "mamba"])
def test_reduced_precision_writes_tokens_that_are_as_likely_as_any(name, tmp_path):
    model = CausalLM(str(CAUSAL_LMS[name](tmp_path / name)), dtype="bfloat16")
    model.load()
    model.worth = 0
    prompts = prompts_of(model)
    found = model.generate(prompts, 6, stop_ids=())
    for prompt, ids, log_probs in zip(prompts, found.ids, found.log_probs, strict=True):
        assert_greedy(model, prompt, ids, log_probs, share=0.05)


def test_a_trainers_reduced_precision_is_followed(loaded):
    model = loaded("llama")
    prompts = prompts_of(model)
    with torch.autocast("cpu", torch.bfloat16):
        found = model.generate(prompts, 6, stop_ids=(), cache=True)
    assert found.cache.reduced
    for prompt, ids, log_probs in zip(prompts, found.ids, found.log_probs, strict=True):
        assert_greedy(model, prompt, ids, log_probs, share=0.05)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_text_does_not_depend_on_those_beside_it(exact, data):
    """Any prompts, order, budget and number of samples; stops end texts at different times."""
    token = st.integers(3, 12)
    first = data.draw(st.lists(token, min_size=1, max_size=5))
    ends = st.lists(st.lists(token, max_size=4), min_size=1, max_size=6)
    prompts = [(*first, *end) for end in data.draw(ends)]
    exact.budget.tokens = data.draw(st.sampled_from([8192, 60, 20]))
    options = {
        "temperature": data.draw(st.sampled_from([0.0, 0.7])),
        "stop_ids": data.draw(st.lists(st.integers(0, exact.vocab_size - 1), max_size=80)),
        "cache": data.draw(st.booleans()),
    }
    if options["temperature"]:
        options["samples"] = data.draw(st.integers(1, 3))
    order = data.draw(st.permutations(range(len(prompts))))
    found = exact.generate([prompts[n] for n in order], 8, streams=order, **options)
    exact.budget.tokens = 8192
    samples = options.get("samples", 1)
    for place, number in enumerate(order):
        alone = exact.generate([prompts[number]], 8, streams=[number], **options)
        part = slice(place * samples, (place + 1) * samples)
        assert found.ids[part] == alone.ids
        assert found.ended[part] == alone.ended


@pytest.mark.parametrize("options", [{}, {"top_k": 5}, {"top_p": 0.6}, {"top_k": 9, "top_p": 0.8}])
def test_samples_are_those_of_a_plain_loop_with_the_same_noise(exact, options):
    prompts, samples = prompts_of(exact), 3
    found = exact.generate(
        prompts, 6, temperature=1.5, samples=samples, seed=4, stop_ids=(), **options
    )
    for place, ids in enumerate(found.ids):
        number, sample = divmod(place, samples)
        row = list(prompts[number])
        for drawn in noise(4, number, sample, 6):
            logits = whole_logits(exact, row)[-1, : exact.vocab_size]
            odds = sorted(
                zip((logits / 1.5).exp().tolist(), range(exact.vocab_size), strict=True),
                reverse=True,
            )[: options.get("top_k")]
            total, kept, reached = sum(odd for odd, _ in odds), [], 0.0
            for odd, index in odds:
                if reached < options.get("top_p", 1.0) * total:
                    kept.append((index, odd))
                reached += odd
            reached, place = 0.0, drawn * sum(odd for _, odd in kept)
            for index, odd in sorted(kept):
                reached += odd
                if reached > place:
                    row.append(index)
                    break
        assert ids == tuple(row[len(prompts[number]) :])
    assert len({*found.ids}) > len(prompts)


def test_another_seed_writes_other_texts_and_the_same_seed_the_same(exact):
    prompts = prompts_of(exact)
    texts = [
        exact.generate(prompts, 8, temperature=1.0, seed=seed, stop_ids=()).ids
        for seed in (0, 0, 1)
    ]
    assert texts[0] == texts[1]
    assert sum(a == b for a, b in zip(texts[0], texts[2], strict=True)) < 2


def test_rotations_that_turn_at_a_length(long_rope):
    known = known_ids(long_rope)
    rng = random.Random(0)
    first = rng.choices(known, k=5)
    prompts = [
        (*first, *rng.choices(known, k=size)) for size in (1, TURN - 6, TURN - 5, TURN - 4, 14, 20)
    ]
    assert long_rope.turn == TURN
    assert long_rope.shares
    found = long_rope.generate(prompts, 12, stop_ids=(), cache=True)
    for prompt, ids, log_probs in zip(prompts, found.ids, found.log_probs, strict=True):
        row = list(prompt)
        for index, told in zip(ids, log_probs, strict=True):
            # Whole again for each token: later ones would turn the rotations of earlier ones.
            logits = whole_logits(long_rope, row)[-1].float()
            assert_near(logits[index], logits.max(), float(logits.abs().max()))
            assert told == near(float(logits.log_softmax(-1)[index]), 1.0)
            row.append(index)
