import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fuse_lightning.adapters import AdapterSettings
from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.models import CausalLM
from fuse_lightning.objectives import Continuation, Fluency, Objective, term_gradients
from tests.near import assert_near
from tests.objectives.causal import (
    PREFIX,
    SUFFIX,
    both_ways,
    check_differences,
    check_gradients,
    every_lm,
    plain,
    prompts,
    prompts_of,
)

LABELS = ("Sure, here's", "12 cats!", "é", "…猫 'it'", "sea\nby night")
TARGETS = [Target("default"), *(Target(label, text=label) for label in LABELS[1:])]
owned = st.lists(st.tuples(prompts, st.integers(0, len(LABELS) - 1)), min_size=1, max_size=5)


@pytest.fixture(scope="module")
def objectives(causal_folders):
    return {
        name: both_ways(Continuation, folder, TARGETS, label=LABELS[0])
        for name, folder in causal_folders.items()
    }


def split(model, before, label):
    """Ids of a text with its label, and how many of them are the label's."""
    before, whole = model.tokenizer(
        [before, f"{before} {label}"], add_special_tokens=False
    ).input_ids
    assert whole[: len(before)] == before
    return len(whole) - len(before)


def reference(model, text, owner):
    before = f"{PREFIX} {text} {SUFFIX}"
    whole = plain(model, f"{before} {LABELS[owner]}")
    length, count = len(whole.ids), split(model, before, LABELS[owner])
    log_probs = whole.logits.log_softmax(-1)
    losses = [-log_probs[place - 1, whole.ids[place]] for place in range(length - count, length)]
    return torch.stack(losses).mean(), whole


@every_lm
@settings(max_examples=8, deadline=None)
@given(owned=owned)
def test_loss_is_the_cross_entropy_of_each_text_alone(objectives, name, owned):
    objective = objectives[name]
    texts, owners = map(list, zip(*owned, strict=True))
    losses = objective.losses(prompts_of(objective, texts, owners))
    for text, owner, row in zip(texts, owners, losses, strict=True):
        expected, _ = reference(objective.primary, text, owner)
        assert_near(row, expected.expand(2))


@every_lm
def test_gradients_are_those_of_each_text_alone(objectives, name):
    objective = objectives[name]
    texts, owners = ["two red houses at night!", "sea,", "a dog's 3"], [0, 3, 2]
    check_gradients(objective, prompts_of(objective, texts, owners), reference)


def test_gradient_equals_differences(causal_folders, monkeypatch):
    objective = both_ways(Continuation, causal_folders["tiny"], TARGETS, label=LABELS[0])
    check_differences(objective, prompts_of(objective, ["a red sea,", "two"], [1, 0]), monkeypatch)


def test_an_empty_prompt_is_prefix_and_suffix_alone(objectives):
    objective = objectives["tiny"]
    losses = objective.losses(objective.prompts([()], [1]))
    before = f"{PREFIX} {SUFFIX}"
    whole = plain(objective.primary, f"{before} {LABELS[1]}")
    count = split(objective.primary, before, LABELS[1])
    chosen = whole.logits.log_softmax(-1)[:-1].gather(1, torch.tensor(whole.ids[1:])[:, None])
    expected = -chosen[-count:].mean()
    assert_near(losses, expected.expand(1, 2))


def test_prompts_that_leave_no_room_for_the_label_are_infinitely_bad(objectives):
    objective = objectives["tiny"]
    model = objective.primary
    frame = int(objective.terms[0].read(objective.prompts([()], [0])).rows.mask.sum())
    token = objective.encode_prompt("red red")[1:]
    assert len(token) == 1
    room = model.max_tokens - frame
    prompts = objective.prompts([token * room, token * (room + 1)], [0, 0])
    losses = objective.losses(prompts)
    assert torch.isfinite(losses[0]).all()
    assert torch.isinf(losses[1]).all()


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("first", [True, False])
def test_prompts_too_long_to_read_have_no_gradient(causal_folders, number, first):
    objective = both_ways(
        Continuation, causal_folders["tiny"], [Target("one")], label="sea", max_batch_tokens=8192
    )
    objective.settings = AdapterSettings(cache=False)
    short = objective.encode_prompt("two red houses")
    long = objective.encode_prompt("red " * 60)
    states = [long, short] if first else [short, long]
    slots = [{0, 1, 2}] * 2

    def gradients(states):
        prompts = objective.prompts(states, [0] * len(states))
        wanted = objective.terms[number]
        (found,) = term_gradients(
            objective, prompts, lambda term: term is wanted, slots[: len(states)]
        )
        return found.heads

    for head, alone in zip(gradients(states), gradients([short]), strict=True):
        row, other = (1, 0) if first else (0, 1)
        assert not head.valid[other].any()
        assert torch.equal(head.valid[row, : len(short)], alone.valid[0])
        assert_near(head.grad[row, : len(short)], alone.grad[0])
    assert not any(head.valid.any() for head in gradients([long]))


def test_a_target_wants_its_own_text_before_the_label(causal_folders):
    term = Continuation(str(causal_folders["tiny"]), label=" sea ")
    Objective([term]).load()
    term.set_targets([Target("own", text=" night "), Target("none"), Target("blank", text=" ")])
    frames = [
        term._frames[0].at(term._context(fields))
        for n in range(3)
        for fields in term.contents(n, 0)
    ]
    words = [term.model.decode([frame.tail])[0] for frame in frames]
    assert words == [" night", " sea", " sea"]


@pytest.mark.parametrize(
    ("kwargs", "target", "message"),
    [
        ({"label": " "}, Target("one"), "label of continuation is empty; give"),
        ({}, Target("bare"), "'bare' has no text.*set the label"),
        ({}, Target("blank", text=" "), "'blank' has no text.*set the label"),
        ({"label": "sea " * 48}, Target("one"), "leave no room.*48.*shorten"),
        ({"suffix": "sea " * 48, "label": "sea"}, Target("one"), "suffix of.*shorten"),
        ({}, Target("long", text="sea " * 48), "leave no room.*shorten"),
        ({"prefix": "sea " * 48, "label": "sea"}, Target("one"), "shorten"),
    ],
)
def test_labels_that_cannot_be_read_are_refused(causal_folders, kwargs, target, message):
    def make():
        objective = Objective([Continuation(causal_folders["tiny"], **kwargs)])
        objective.load()
        objective.set_targets([target])

    with pytest.raises(FuseError, match=message) as raised:
        make()
    assert "\n" not in str(raised.value)


def test_it_stands_beside_other_terms_of_the_same_model(causal_folders):
    model = str(causal_folders["tiny"])
    terms = [Fluency(model), Continuation(CausalLM(model), weight=2.0, label="sea")]
    objective = Objective(terms)
    objective.load()
    objective.set_targets([Target("one")])
    prompts = objective.prompts([objective.encode_prompt("two red houses")], [0])
    assert terms[0].model is terms[1].model
    assert torch.isfinite(objective.losses(prompts)).all()


def test_a_label_may_fill_all_but_one_prompt_token(causal_folders):
    def check(count):
        Objective([Continuation(str(causal_folders["tiny"]), label="red " * count)]).load()

    # 48 are the begin token, a prompt of one token, and the label.
    check(46)
    with pytest.raises(FuseError, match="take 48 tokens and leave no room"):
        check(47)
