"""The benchmark of reasoning prompts: its tables and its plain step."""

import random
import unicodedata
from dataclasses import replace
from importlib import import_module

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.greater import plain
from benchmarks.greater.tables import STOCK, read_table

LEAST = {"capital": 180, "antonym": 180, "category": 150}


@pytest.mark.parametrize("name", LEAST)
def test_a_table_is_large_and_holds_a_question_once(name):
    table = read_table(name)
    assert len(table) >= LEAST[name]
    folded = [unicodedata.normalize("NFKD", each.question).casefold().strip() for each in table]
    assert len(set(folded)) == len(folded)
    for each in table:
        assert all(text and text == text.strip() for text in (each.question, *each.right))
        assert len(set(each.right)) == len(each.right)
    assert name in STOCK


@pytest.mark.parametrize("name", ["capital", "antonym"])
def test_a_question_never_holds_its_answer_and_no_pair_stands_twice(name):
    table = read_table(name)
    for each in table:
        words = each.question.casefold().split()
        assert not any(right.casefold() in words for right in each.right), each
    pairs = [frozenset((each.question, each.answer)) for each in table]
    assert len(set(pairs)) == len(pairs)


def test_answers_that_differ_by_accents_alone_are_accepted_without_them():
    for each in read_table("capital"):
        folded = unicodedata.normalize("NFD", each.answer)
        bare = "".join(letter for letter in folded if not unicodedata.combining(letter))
        assert bare in each.right


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=60,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.5,
        max_position_embeddings=64,
    )
    return LlamaForCausalLM(config).eval().double().requires_grad_(False)


@pytest.fixture(scope="module")
def setting():
    rng = random.Random(0)

    def some(least, most):
        return tuple(rng.randrange(5, 60) for _ in range(rng.randint(least, most)))

    return plain.Setting(
        before=[some(4, 9) for _ in range(11)],
        answers=[some(1, 2) for _ in range(11)],
        between=some(2, 2),
        extractor=some(3, 3),
        allowed=torch.arange(60) > 4,
        stop=frozenset({3, 7, 8, 9, 10, 11}),
        chain_tokens=8,
        batch=4,
    )


PROMPT, PLACE = (20, 31, 42, 17, 55), 2


def test_chains_are_those_of_one_row_at_a_time(model, setting):
    found = plain.write_chains(model, setting, PROMPT)
    assert {len(chain) for chain in found} > {setting.chain_tokens}  # Some end before.
    for before, chain in zip(setting.before, found, strict=True):
        row, own = [*before, *PROMPT, *setting.between], []
        while len(own) < setting.chain_tokens:
            token = int(model(torch.tensor([row + own])).logits[0, -1].argmax())
            if token in setting.stop:
                break
            own.append(token)
        assert tuple(own) == chain


def test_the_gradient_is_that_of_the_embedding_along_each_candidate(model, setting):
    chains = plain.write_chains(model, setting, PROMPT)
    candidates = [12, 44, 59, PROMPT[PLACE]]
    found = plain.gradient(model, setting, PROMPT, PLACE, chains, candidates)
    table = model.get_input_embeddings().weight
    wanted = torch.zeros(len(candidates), dtype=torch.float64)
    for number, chain in enumerate(chains):
        ids = torch.tensor([setting.row(number, PROMPT, chain)])
        embeds = table[ids].requires_grad_()
        logits = model(inputs_embeds=embeds).logits[0]
        answer, fluency = plain.losses(setting, number, ids[0], logits, len(PROMPT))
        (slope,) = torch.autograd.grad(answer + setting.fluency * fluency, embeds)
        wanted += table[candidates] @ slope[0, len(setting.before[number]) + PLACE]
    # Norms of the network are in float32.
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-3)


def test_losses_and_errors_are_those_of_one_row_at_a_time(model, setting):
    chains = plain.write_chains(model, setting, PROMPT)
    # What the model itself would answer is right.
    answers = [*setting.answers]
    row = setting.row(3, PROMPT, chains[3])[: -len(answers[3])]
    answers[3] = (int(model(torch.tensor([row])).logits[0, -1].argmax()),)
    setting = replace(setting, answers=answers)
    judged = plain.judge(model, setting, PROMPT, chains)
    assert judged.errors[3] == 0
    assert 0 < judged.errors.mean() < 1
    for number, chain in enumerate(chains):
        row = setting.row(number, PROMPT, chain)
        logits = model(torch.tensor([row])).logits[0]
        told = []
        for places, temperature in (
            (range(len(row) - len(answers[number]), len(row)), setting.temperature),
            (range(len(setting.before[number]), len(setting.before[number]) + len(PROMPT)), 1.0),
        ):
            values = [-(logits[p - 1] / temperature).log_softmax(-1)[row[p]] for p in places]
            told.append(float(sum(values) / len(values)))
        assert told[0] == pytest.approx(float(judged.answer_nll[number]), rel=1e-5)
        assert told[1] == pytest.approx(float(judged.prompt_nll[number]), rel=1e-5)
    wanted = judged.errors.mean() + 0.02 * judged.prompt_nll.mean()
    assert judged.score(setting) == pytest.approx(float(wanted))


def test_proposals_are_what_questions_agree_on(setting):
    log_probs = torch.full((5, 60), -50.0)
    for number, likely in enumerate(([9, 8, 7], [9, 8, 6], [9, 8, 5], [9, 8, 7], [9, 8, 20])):
        log_probs[number, likely] = torch.tensor([-1.0, -2.0, -3.0])
    log_probs[:, [PROMPT[PLACE - 1], 2]] = 0.0  # The token before, and one that is not allowed.
    few = replace(setting, top_k=2, least=2)
    found = plain.propose(few, PROMPT, PLACE, log_probs, random.Random(0))
    assert found == [8, 9, PROMPT[PLACE]]
    # Too few agree, so that more of each list are looked at.
    more = replace(setting, top_k=2, least=3)
    found = plain.propose(more, PROMPT, PLACE, log_probs, random.Random(0))
    assert {8, 9} < {*found}
    assert len(found) > 3
    assert PROMPT[PLACE - 1] not in found


def test_a_step_takes_the_best_of_its_shortlist_and_the_later_of_equals(model, setting):
    found = plain.step(model, setting, PROMPT, PLACE)
    assert found.candidates[-1] == PROMPT[PLACE]
    assert found.chains == plain.write_chains(model, setting, PROMPT)
    order = found.gradient.argsort().tolist()[:3]
    assert found.shortlist == [found.candidates[place] for place in order]
    for token, fresh in zip(found.shortlist, found.fresh, strict=True):
        assert fresh == plain.write_chains(model, setting, plain.swapped(PROMPT, PLACE, token))
    scores = [each.score(setting) for each in found.judged]
    assert found.chosen == plain.best(found.shortlist, scores)
    assert plain.best([4, 5, 6], [0.5, 0.25, 0.25]) == 6


@pytest.mark.parametrize("name", ["plain"])
def test_examples_of_docstrings(name):
    import doctest

    failed, tried = doctest.testmod(import_module(f"benchmarks.greater.{name}"))
    assert tried > 0
    assert failed == 0
