"""Reasoning terms against float64 without caches, one question and one token at a time."""

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuse_lightning.objectives import Objective, Reasoning, embedding_gradient
from tests.near import assert_near
from tests.objectives.reasoned import EXTRACTORS, LAYOUT, OWNERS, PROMPTS, TARGETS, Oracle

CLOSE = 1e-5
SHORT = {"max_chain_tokens": 6, "max_answer_tokens": 3}


def built(model, layout=LAYOUT, targets=TARGETS, budget=8192, **options):
    """An objective of one reasoning term in float64."""
    term = Reasoning(model, layout, **{**SHORT, **options})
    objective = Objective([term], max_batch_tokens=budget)
    objective.load()
    term.model.module.double()
    term.model.worth = 0
    objective.set_targets(targets)
    return objective


def prompts_of(objective, texts=PROMPTS, owners=OWNERS):
    found = objective.prompts(objective.encode_prompts(texts), owners)
    assert all(found.canonical)
    return found


def told(objective, prompts, layout=LAYOUT, targets=TARGETS, leaves=None, first=None, **options):
    """What plain calls make of all prompts: a list over questions of a list over chains."""
    term = objective.terms[0]
    first = first or Oracle(term, "")
    found = []
    for row, (text, owner) in enumerate(zip(prompts.texts, prompts.owners, strict=True)):
        target = targets[owner]
        oracle = Oracle(term, *EXTRACTORS[owner], layout, first)
        streams = term.batch[owner].streams
        found.append(
            [
                [
                    oracle.answer(
                        *(target, example, text, streams[number], sample),
                        embeds=None if leaves is None else leaves[row],
                        **options,
                    )
                    for sample in range(term.chains_per_question)
                ]
                for number, example in enumerate(target.examples)
            ]
        )
    return found


def by_options(options, one, fluency):
    """The loss of one question with one chain, by the term's options."""
    closed = options.answer_loss == "labels" and one.labels is not None
    answer = one.labels if closed else one.tokens.mean()
    prompt = one.fluency.exp() if options.perplexity else one.fluency
    return answer, fluency * prompt


def selects(options, one):
    """The number of one question with one chain that selects."""
    answer, prompt = by_options(options, one, options.score_fluency)
    error = 1.0 - one.right[options.judge]
    return {"loss": answer, "error": error, "both": answer + error}[options.select_by] + prompt


def mean(rows):
    return torch.stack([torch.as_tensor(row, dtype=torch.float64) for row in rows]).mean()


def check(objective, layout=LAYOUT, targets=TARGETS, prompts=None):
    """Chains, scores, losses and gradients are those of plain calls."""
    term = objective.terms[0]
    options = term.options
    prompts = prompts_of(objective) if prompts is None else prompts
    oracle, temperature = Oracle(term, ""), options.answer_temperature
    expected = told(*(objective, prompts, layout, targets), first=oracle, temperature=temperature)
    reading = term.read(prompts)
    rows = iter(reading.rows.rows)
    for some in expected:
        for chains in some:
            for one in chains:
                row = next(rows)
                assert [*row[: len(one.head) + len(one.chain)]] == [*one.head, *one.chain]
    scores = objective.losses(prompts)[:, 0]
    wanted = [mean([selects(options, one) for q in some for one in q]) for some in expected]
    assert_near(scores, torch.stack(wanted), share=CLOSE)
    rights = objective.scores.by_example[0].correct(
        objective.scores.keys(prompts), prompts, [range(len(some)) for some in expected]
    )
    wanted = [mean([one.right[options.judge] for one in q]) for some in expected for q in some]
    assert_near(rights, torch.stack(wanted), share=CLOSE)
    gradient, _ = embedding_gradient(objective, prompts)
    for row, state in enumerate(prompts.states):
        leaf = oracle.embed(state).requires_grad_()
        one_prompt = prompts.select([row])
        some = told(
            *(objective, one_prompt, layout, targets, [leaf], oracle), temperature=temperature
        )[0]
        losses = [sum(by_options(options, one, options.fluency)) for q in some for one in q]
        (grad,) = torch.autograd.grad(torch.stack(losses).mean(), leaf)
        error = (gradient[row, : len(state)].double() - grad).norm()
        assert error <= 3 * CLOSE * float(grad.norm())


@pytest.mark.parametrize("name", ["zoo", "llama", "gemma", "mistral", "qwen2", "mamba", "opt"])
def test_chains_scores_and_gradients_are_those_of_plain_calls(causal_folders, name):
    check(built(str(causal_folders[name])))


@pytest.mark.parametrize(
    "layout",
    ["{prompt} {question}\nso ", "{question} is {prompt}: ", "at {question}\n{prompt}\n\nso"],
)
def test_prompts_may_stand_before_and_behind_the_question(causal_folders, layout):
    check(built(str(causal_folders["zoo"]), layout), layout)


@pytest.mark.parametrize(
    "options",
    [
        {"answer_loss": "tokens"},
        {"answer_loss": "tokens", "answer_temperature": 0.2, "select_by": "loss"},
        {"answer_temperature": 3.0, "fluency": 0.5, "score_fluency": 0.25},
        {"fluency": 0.2, "score_fluency": 0.1, "perplexity": True, "select_by": "loss"},
        {"preset": "paper"},
        {"preset": "code"},
        {"preset": "code", "fluency": 0.0, "judge": "read"},
        {"judge": "read"},
        {"judge": "forced", "select_by": "error"},
        {"temperature": 1.5, "chains_per_question": 3, "seed": 4},
        {"temperature": 0.8, "chains_per_question": 2, "preset": "code"},
    ],
)
def test_every_option_means_what_it_says(causal_folders, options):
    check(built(str(causal_folders["zoo"]), **options))


@pytest.mark.parametrize("loss", ["labels", "tokens"])
def test_labels_judge_whatever_the_loss_is(causal_folders, loss):
    targets = [TARGETS[0], TARGETS[2]]
    objective = built(str(causal_folders["zoo"]), targets=targets, judge="labels", answer_loss=loss)
    prompts = prompts_of(objective, owners=(0, 1, 0, 1))
    term = objective.terms[0]
    plain = Oracle(term, "")
    expected = [
        [oracle.answer(target, each, text).right["labels"] for each in target.examples]
        for text, owner in zip(prompts.texts, prompts.owners, strict=True)
        for target in [targets[owner]]
        for oracle in [Oracle(term, *EXTRACTORS[2 * owner], other=plain)]
    ]
    keys = objective.scores.keys(prompts)
    found = objective.scores.by_example[0].correct(
        keys, prompts, [range(len(some)) for some in expected]
    )
    assert found.tolist() == [float(right) for some in expected for right in some]
    assert {*found.tolist()} == {0.0, 1.0}


@pytest.mark.parametrize("name", ["zoo", "mamba"])
@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(budget=st.sampled_from([8192, 300, 90, 30]), data=st.data())
def test_scores_depend_neither_on_the_budget_nor_on_the_order(causal_folders, name, budget, data):
    objective = made(causal_folders, name)
    prompts = prompts_of(objective)
    whole = objective.losses(prompts)[:, 0]
    order = data.draw(st.permutations(range(len(PROMPTS))))
    again = built(objective.primary, budget=budget)
    again.primary.budget.tokens = again.primary.budget.most = budget
    found = again.losses(prompts.select(order))[:, 0]
    objective.primary.budget.tokens = objective.primary.budget.most = 8192
    assert_near(found, whole[list(order)], share=CLOSE)


MADE = {}


def made(causal_folders, name):
    if name not in MADE:
        MADE[name] = built(str(causal_folders[name]))
    return MADE[name]


@pytest.mark.parametrize("name", ["zoo", "llama", "mamba"])
def test_what_is_written_is_told(causal_folders, name):
    objective = built(str(causal_folders[name]))
    prompts, term = prompts_of(objective), objective.terms[0]
    expected = [chains[0] for some in told(objective, prompts) for chains in some]
    decode = term.model.tokenizer.decode
    for found, one in zip(term.written(prompts), expected, strict=True):
        assert found.chain == decode(one.chain, skip_special_tokens=True)
        assert found.answer == decode(one.behind, skip_special_tokens=True)
        assert found.cut != one.ended
        judged = found.right_parse, found.right_read, found.right_forced, found.right_labels
        assert judged == tuple(one.right[judge] for judge in ("parse", "read", "forced", "labels"))
        nll = one.tokens.sum() if one.labels is None else one.labels
        assert found.probability == pytest.approx(float((-nll).exp()), rel=1e-4)
