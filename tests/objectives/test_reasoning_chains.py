"""Chains of reasoning terms: written once, held fixed, and left out where there is no room."""

from dataclasses import replace
from unittest.mock import patch

import pytest
import torch

from fuse_lightning.engine.meter import total_work
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import Sample, Written, embedding_gradient, smoothed_gradient
from tests.objectives.reasoned import TARGETS
from tests.objectives.test_reasoning import built, prompts_of


def calls():
    return patch.object(CausalLM, "generate", autospec=True, side_effect=CausalLM.generate)


def test_chains_that_were_scored_are_not_written_again():
    objective = built("zoo/gpt2")
    prompts = prompts_of(objective)
    objective.losses(prompts)
    with calls() as generate:
        embedding_gradient(objective, prompts)
        objective.terms[0].written(prompts)
        objective.losses(prompts, again=True)
        assert generate.call_count == 0


def test_samples_of_a_prompt_are_read_with_its_own_chains():
    objective = built("zoo/gpt2")
    state = prompts_of(objective).states[0]
    objective.losses(prompts_of(objective).select([0]))
    other = (*state[:-1], state[0])
    with calls() as generate:
        smoothed_gradient(objective, [Sample(other, 0, {0}, state)], [0], lambda term: True)
        assert generate.call_count == 0


def test_a_prompt_that_is_too_long_for_some_questions_has_infinite_loss(causal_folders):
    objective = built(str(causal_folders["llama"]))
    long = objective.encode_prompt("a red box at night " * 12)
    most = objective.primary.max_tokens
    lengths = range(1, min(len(long), most + 8), 6)
    prompts = objective.prompts([long[:length] for length in lengths], [0] * len(lengths))
    losses = objective.losses(prompts)[:, 0]
    assert torch.isfinite(losses[0])
    assert torch.isinf(losses[-1])
    # What is too long for a prompt is too long for all longer ones.
    assert torch.isinf(losses).tolist() == sorted(torch.isinf(losses).tolist())
    gradient, _ = embedding_gradient(objective, prompts)
    assert torch.isfinite(gradient).all()
    told = objective.terms[0].written(prompts)
    assert told[-1].chain == ""
    assert not told[-1].right_parse


def test_a_long_test_question_is_told_before_a_search():
    asked = {"question": "3 boxes " * 2000, "label": "3"}
    with pytest.raises(FuseError, match="a question of target 'number' leaves no room for a chain"):
        built("zoo/gpt2", targets=[replace(TARGETS[1], test=[asked])])


def test_test_questions_change_no_batch():
    alone, beside = (
        built("zoo/gpt2", targets=[replace(TARGETS[1], test=test)])
        for test in ((), [{"question": "3 boxes " * 9, "label": "3"}])
    )
    assert beside.terms[0].together == alone.terms[0].together
    assert beside.terms[0].examples == alone.terms[0].examples


def test_the_text_of_a_chain_is_looked_at_once():
    objective = built("zoo/gpt2", judge="read")
    prompts = prompts_of(objective)
    with patch.object(Written, "of", side_effect=Written.of) as looked:
        objective.losses(prompts)
        count = looked.call_count
        embedding_gradient(objective, prompts)
        objective.losses(prompts, again=True)
    assert 0 < count == looked.call_count


def test_probabilities_of_written_answers_are_read_from_the_keys_of_their_chains():
    # Chains of one extractor are written in one call, whose keys stay.
    one, other = (built("zoo/gpt2", targets=TARGETS[:1]) for _ in range(2))
    work = []
    for objective in (one, other):
        term, prompts = objective.terms[0], prompts_of(objective).select([0])
        before = total_work(term.model.meters).tokens
        if objective is one:
            term.chains(term.heads(prompts))
        else:
            term.written(prompts)
        work.append(total_work(term.model.meters).tokens - before)
    rows = one.terms[0].read(prompts_of(one).select([0])).rows
    # Of each row the last token of the extractor and those of the answer are read.
    assert work[1] - work[0] < int(rows.mask.sum()) / 4
