"""Rows on both sides of the length that LongRoPE turns at."""

from copy import deepcopy

import pytest
import torch
from transformers import Phi3Config, Phi3ForCausalLM

from fuse_lightning.data import Target
from fuse_lightning.objectives import (
    Continuation,
    Fluency,
    KLDivergence,
    LogProb,
    Objective,
    label_changes,
    term_gradients,
)
from tests.factories.folders import SHAPE, save
from tests.factories.tokenizers import llama_tokenizer

TURN = 14
TEXTS = (
    "red",
    "a red house by the sea",
    "two red houses by the sea at night and a small dog runs over the green field",
    "two red houses by the sea at night",
    "two red houses by the sea at night and a calm lake, two old boats on it",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    tokenizer = llama_tokenizer()
    config = Phi3Config(
        **SHAPE,
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
    return str(save(tmp_path_factory.mktemp("long"), Phi3ForCausalLM, config, tokenizer))


def objective_of(term_class, folder, tokens, **options):
    objective = Objective([term_class(folder, **options)], max_batch_tokens=tokens)
    objective.load()
    objective.set_targets([Target("one")])
    objective.primary.worth = 0
    return objective


@pytest.mark.parametrize(
    ("term_class", "options"),
    [(Fluency, {}), (LogProb, {}), (KLDivergence, {}), (Continuation, {"label": "red sea"})],
)
@pytest.mark.parametrize("tokens", [40, 8192])
def test_each_row_is_read_as_alone(folder, term_class, options, tokens):
    objective = objective_of(term_class, folder, tokens, **options)
    model = objective.primary
    assert model.turn == TURN
    assert model.shares
    states = objective.encode_prompts(TEXTS)
    sizes = [len(state) for state in states]
    assert min(sizes) < TURN < max(sizes)
    whole = objective.prompts(states, [0] * len(states))
    losses = objective.losses(whole, again=True)
    slots = [{*range(size)} for size in sizes]
    (found,) = term_gradients(objective, whole, lambda _: True, slots)
    labels = label_changes(objective, whole)
    for row, size in enumerate(sizes):
        model.forget()
        alone = whole.select([row])
        torch.testing.assert_close(objective.losses(alone, again=True)[0], losses[row])
        (part,) = term_gradients(objective, alone, lambda _: True, slots[row : row + 1])
        expected = part.heads[0].grad[0, :size]
        torch.testing.assert_close(found.heads[0].grad[row, :size], expected, rtol=1e-3, atol=1e-4)
        if not isinstance(labels, float):
            own = label_changes(objective, alone)[0]
            torch.testing.assert_close(labels[row, :size], own, rtol=1e-3, atol=1e-4)


def test_losses_are_those_of_plain_transformers(folder):
    objective = objective_of(Fluency, folder, 8192)
    model = objective.primary
    module = deepcopy(model.module).double()
    states = objective.encode_prompts(TEXTS)
    losses = objective.losses(objective.prompts(states, [0] * len(states)))[:, 0]
    for state, loss in zip(states, losses, strict=True):
        ids = torch.tensor([[*model.start_ids, *state]])
        with torch.no_grad():
            log_probs = module(ids[:, :-1]).logits[0].log_softmax(-1)
        expected = -log_probs.gather(1, ids[0, 1:, None]).mean()
        assert float(loss) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("method", ["next_log_probs", "nested_log_probs"])
def test_next_tokens_of_growing_rows_are_those_of_plain_transformers(method, folder):
    objective = objective_of(Fluency, folder, 8192)
    model = objective.primary
    (state,) = objective.encode_prompts(TEXTS[2:3])
    row = [*model.start_ids, *state]
    for size in range(TURN - 4, TURN + 4):
        rows = [row[:size], row[: size - 3], [*row[: size - 1], 7]]
        told = getattr(model, method)(rows)
        for ids, found in zip(rows, told, strict=True):
            with torch.no_grad():
                logits = model.module(torch.tensor([ids])).logits[0, -1]
            expected = logits.log_softmax(-1)[: model.vocab_size]
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
