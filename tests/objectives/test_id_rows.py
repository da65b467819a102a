"""Rows behind texts that the model itself wrote, against float64 with one row at a time."""

import pytest
import torch

from fuse_lightning.data import Target
from fuse_lightning.objectives import Objective, embedding_gradient
from tests.factories.terms import FixedChains
from tests.near import assert_near
from tests.objectives.test_rows import Plain

SETS = {
    "a": [("two large squares", "red"), ("a star at night in the snow", "blue"), ("boxes", "two")],
    "b": [("here is a disc", "small")],
}
PROMPTS, OWNERS = ("a small red", "two dots above", "box"), (0, 1, 0)
CLOSE = 1e-5


@pytest.fixture(scope="module")
def objective():
    made = Objective([FixedChains("zoo/gpt2")], max_batch_tokens=256)
    made.load()
    made.set_targets([Target(name, metadata={"questions": SETS[name]}) for name in SETS])
    return made


def test_the_gradient_over_a_fixed_chain_is_that_of_one_row_at_a_time(objective):
    prompts = objective.prompts(objective.encode_prompts(PROMPTS), OWNERS)
    losses = objective.losses(prompts)[:, 0]
    term, plain = objective.terms[0], Plain(objective.primary)
    pairs = sum(len([*SETS.values()][owner]) for owner in OWNERS)
    assert term.written == pairs
    gradient, told = embedding_gradient(objective, prompts)
    # The gradient is taken at the chains that were scored.
    assert term.written == pairs
    for row, (state, owner) in enumerate(zip(prompts.states, OWNERS, strict=True)):
        leaf, items = plain.embed(state).requires_grad_(), []
        for example, (question, answer) in enumerate([*SETS.values()][owner]):
            head = [*objective.primary.start_ids, *plain.ids(f" {question}")]
            chain = term.chains[owner, example, state]
            assert [*chain] == greedy(plain, [*head, *state], len(chain))
            words = plain.ids(f" {answer}")
            tail = [*chain, *plain.ids(term.extractor), *words]
            ids = [*head, *state, *tail]
            whole = torch.cat([plain.embed(head), leaf, plain.embed(tail)])
            log_probs = plain.log_probs(ids, whole)
            places = range(len(ids) - len(words), len(ids))
            items.append(-sum(log_probs[n - 1, ids[n]] for n in places) / len(words))
        expected = torch.stack(items).mean()
        (wanted,) = torch.autograd.grad(expected, leaf)
        assert_near(losses[row], expected, share=CLOSE)
        assert_near(told[row, 0], expected, share=CLOSE)
        error = (gradient[row, : len(state)].double() - wanted).norm() / wanted.norm()
        assert error < 2 * CLOSE


def greedy(plain, ids, count):
    written = []
    for _ in range(count):
        with torch.no_grad():
            told = plain.log_probs(ids, plain.embed([*ids, *written]))
        written.append(int(told[-1].argmax()))
    return written
