import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.objectives import Fluency, Objective
from tests.near import near
from tests.objectives.causal import PREFIX, every_lm

numbers = st.lists(st.integers(0, 10**6), min_size=1, max_size=7)


@pytest.fixture(scope="module")
def objectives(causal_folders):
    made = {}
    for name, folder in causal_folders.items():
        made[name] = Objective([Fluency(str(folder), prefix=PREFIX)])
        made[name].load()
    return made


def label_changes(objective, states):
    prompts = objective.prompts(states, [0] * len(states))
    length = max(map(len, states))
    change = objective.terms[0].label_change(objective.terms[0].read(prompts))
    assert change.shape == (len(states), length, objective.primary.vocab_size)
    assert change.dtype == torch.float32
    return change


def summands(objective, state):
    """-log P(token | all before) of each token, one plain forward in float32."""
    model = objective.primary
    head = [*model.start_ids, *model.tokenizer(PREFIX, add_special_tokens=False).input_ids]
    with torch.no_grad():
        logits = model.module(input_ids=torch.tensor([[*head, *state]])).logits[0]
    log_probs = logits.log_softmax(-1)[len(head) - 1 : -1]
    return -log_probs[range(len(state)), list(state)]


@every_lm
@settings(max_examples=10, deadline=None)
@given(rows=st.lists(numbers, min_size=1, max_size=4), new=st.integers(0, 10**6))
def test_change_of_a_tokens_own_part_is_exact(objectives, name, rows, new):
    objective = objectives[name]
    size = objective.primary.vocab_size
    states = [tuple(number % size for number in row) for row in rows]
    token = new % size
    change = label_changes(objective, states)
    for row, state in enumerate(states):
        assert change[row, len(state) :].abs().sum() == 0
        old = summands(objective, state)
        for place in range(len(state)):
            swapped = (*state[:place], token, *state[place + 1 :])
            new = summands(objective, swapped)
            own = float(new[place] - old[place]) / len(state)
            size = float(max(new[place], old[place])) / len(state)
            assert float(change[row, place, token]) == near(own, size)
            assert float(change[row, place, state[place]]) == 0


@every_lm
@settings(max_examples=10, deadline=None)
@given(row=numbers, new=st.integers(0, 10**6))
def test_change_of_the_last_token_is_that_of_the_loss(objectives, name, row, new):
    objective = objectives[name]
    size = objective.primary.vocab_size
    state = tuple(number % size for number in row)
    swapped = (*state[:-1], new % size)
    before, after = objective.losses(objective.prompts([state, swapped], [0, 0]))[:, 0].tolist()
    change = label_changes(objective, [state])[0, -1, new % size]
    assert float(change) == near(after - before, size=max(after, before))


def test_an_empty_prompt_has_no_labels(objectives):
    objective = objectives["tiny"]
    change = label_changes(objective, [(), objective.encode_prompt("two red")])
    assert change[0].abs().sum() == 0
    assert change[1].abs().sum() > 0
    assert label_changes(objective, [()]).numel() == 0
