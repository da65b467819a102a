"""Examples that losses are asked of, and prompts that cannot be read."""

import pytest
import torch

from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Fluency, Objective, Reasoning, embedding_gradient
from fuse_lightning.objectives.example_scores import ExampleScores
from fuse_lightning.objectives.gradients import label_changes
from fuse_lightning.utilities.evaluations import Evaluations
from tests.factories.terms import Labels, Surprise
from tests.near import assert_near

EXAMPLES = [("a red star", 0), ("a box", 1), ("two tiles", 1)]
LAYOUT = "{text} {prompt}{answer}"


@pytest.fixture
def objective():
    found = Objective([Labels("zoo/gpt2", ["happy", "sad"], layout=LAYOUT)])
    found.load()
    found.set_targets(
        [
            Target("three", metadata={"examples": EXAMPLES}),
            Target("one", metadata={"examples": EXAMPLES[:1]}),
        ]
    )
    return found


def prompts_of(objective, owners=(0, 1)):
    texts = ["so small", "night"][: len(owners)]
    return objective.prompts(objective.encode_prompts(texts), owners)


@pytest.mark.parametrize(
    ("some", "message"),
    [
        ([-1], "below|0 or more"),
        ([2], "target 'one' has 1 examples"),
        ([], "target .* none"),
    ],
)
def test_a_target_without_any_of_the_examples_is_refused(objective, some, message):
    with pytest.raises(FuseError, match=message):
        objective.losses(prompts_of(objective), [some, some])


def test_a_target_without_examples_is_refused(objective):
    with pytest.raises(FuseError, match="target 'empty' has no example, which labels needs"):
        objective.set_targets([Target("empty", metadata={"examples": []})])


def test_an_example_that_is_asked_for_twice_counts_twice_and_is_read_once(objective, monkeypatch):
    prompts, rows, loss = prompts_of(objective, (0,)), [], Labels.loss
    monkeypatch.setattr(Labels, "loss", lambda *given: rows.append(len(given[1])) or loss(*given))
    found = objective.losses(prompts, [[2, 0, 2]])
    assert sum(rows) == 4
    first, last = objective.losses(prompts, [[0]]), objective.losses(prompts, [torch.tensor([2])])
    assert_near(found, (first + 2 * last) / 3)
    assert_near(objective.losses(prompts, [[0, 2]]), (first + last) / 2)


def test_each_pair_of_a_prompt_and_an_example_is_one_evaluation(objective):
    prompts = prompts_of(objective)
    objective.losses(prompts)
    objective.scores.evaluations = found = [Evaluations(), Evaluations()]

    def counts():
        return [each.count for each in found]

    # What was computed before counts for who asks for it now.
    objective.losses(prompts, [[0], [0]])
    assert counts() == [1, 1]
    objective.losses(prompts, [[0, 1, 1]] * 2)
    assert counts() == [2, 1]
    objective.losses(prompts)
    assert counts() == [3, 1]
    objective.losses(prompts, [[0], [0]], again=True)
    assert counts() == [4, 2]
    objective.set_targets([Target("three", metadata={"examples": EXAMPLES})])
    objective.losses(prompts_of(objective, (0,)))
    assert counts() == [4, 2]


def test_several_terms_are_one_evaluation():
    pair = {"weight": 0.5, "layout": LAYOUT}
    labels = [Labels("zoo/gpt2", ["happy", "sad"], **pair) for _ in range(2)]
    objective = Objective([Fluency("zoo/gpt2"), *labels])
    objective.load()
    objective.set_targets([Target("three", metadata={"examples": EXAMPLES})])
    prompts = prompts_of(objective, (0,))
    objective.scores.evaluations = [Evaluations()]
    objective.losses(prompts)
    assert objective.scores.evaluations[0].count == 3
    objective.losses(prompts, again=True)
    assert objective.scores.evaluations[0].count == 6
    plain = Objective([Fluency("zoo/gpt2"), Fluency("zoo/gpt2", prefix="A")])
    plain.load()
    plain.set_targets([Target("a"), Target("b")])
    plain.scores.evaluations = found = [Evaluations(), Evaluations()]
    states = plain.encode_prompts(["so small", "night", "so small"])
    plain.losses(plain.prompts(states, [0, 0, 0]))
    plain.losses(plain.prompts(states[:1], [1]))
    assert [each.count for each in found] == [2, 1]


def test_losses_that_change_with_every_step_are_evaluated_anew(objective, monkeypatch):
    prompts = prompts_of(objective, (0,))
    for steady, total in ((True, 3), (False, 6)):
        objective.scores.evaluations = [Evaluations()]
        monkeypatch.setattr(Labels, "steady", steady, raising=False)
        for step in range(2):
            objective.begin_step([step, step])
            objective.losses(prompts)
        assert objective.scores.evaluations[0].count == total


def test_a_prompt_that_is_given_twice_is_read_once(objective, monkeypatch):
    state = objective.encode_prompt("so small")
    prompts, rows, loss = objective.prompts([state, state], [0, 0]), [], Labels.loss
    monkeypatch.setattr(Labels, "loss", lambda *given: rows.append(len(given[1])) or loss(*given))
    first, second = objective.losses(prompts, [[0, 1], [1, 2]])
    assert sum(rows) == 6
    assert_near(first, objective.losses(prompts.select([0]), [[0, 1]])[0])
    assert_near(second, objective.losses(prompts.select([1]), [[1, 2]])[0])
    assert sum(rows) == 6


def test_losses_of_reduced_precision_serve_only_who_asks_for_no_better(objective):
    prompts = prompts_of(objective)
    exact = objective.losses(prompts)
    objective.scores.forget()
    with torch.autocast("cpu", torch.bfloat16):
        rough = objective.losses(prompts)
        assert torch.equal(objective.losses(prompts), rough)
    assert not torch.equal(rough, exact)
    assert torch.equal(objective.losses(prompts), exact)
    # What is known exactly stays so.
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(objective.losses(prompts), exact)


def test_losses_of_no_prompts_are_none(objective):
    assert objective.losses(objective.prompts([], [])).shape == (0, 1)


def test_a_term_that_lays_out_no_row_is_refused(objective, monkeypatch):
    monkeypatch.setattr(Labels, "contents", lambda *_: [])
    with pytest.raises(FuseError, match=r"contents of labels gives \[\] for example 0"):
        objective.losses(prompts_of(objective))


def test_an_empty_prompt_beside_another_has_a_loss_and_no_gradient(objective):
    state = objective.encode_prompt("so small")
    prompts = objective.prompts([(), state], [0, 0])
    gradient, losses = embedding_gradient(objective, prompts)
    assert losses.isfinite().all()
    assert not gradient[0].any()
    alone, _ = embedding_gradient(objective, objective.prompts([state], [0]))
    assert_near(gradient[1], alone[0])


def test_weights_that_select_nothing_are_refused():
    with pytest.raises(FuseError, match="score weights"):
        Objective([Fluency("zoo/gpt2", score_weight=0.0)])


def test_changes_of_labels_are_those_of_prompts_that_can_be_read():
    objective = Objective([Fluency("zoo/gpt2"), Fluency("zoo/gpt2", prefix="a red box " * 5)])
    objective.load()
    objective.set_targets([Target("one")])
    state = objective.encode_prompt("two dots")
    long = state[:1] * (objective.primary.max_tokens - 6)
    together = label_changes(objective, objective.prompts([long, state], [0, 0]))
    alone = label_changes(objective, objective.prompts([state], [0]))
    assert together.isfinite().all()
    assert_near(together[1, : len(state)], alone[0], share=1e-4)


def test_a_model_is_compared_with_itself(tmp_path):
    from tests.factories import tiny

    folder = tiny.gpt2(tmp_path / "one")
    objective = Objective([Surprise(folder, folder)])
    objective.load()
    objective.set_targets([Target("one")])
    assert len(objective.models) == 1
    found = objective.losses(objective.prompts([objective.encode_prompt("two red")], [0]))
    assert_near(found, torch.zeros(1, 1), size=1.0)


def test_parts_hold_all_prompts_with_an_example(monkeypatch):
    # Else what stands before the prompts would be read once for each part.
    examples = [{"question": f"{text} star", "label": "red"} for text in "abcde"]
    targets = [Target(name, examples=examples[:size]) for name, size in (("x", 5), ("y", 3))]
    texts, read = ["so small", "so large", "night"], ExampleScores._read
    parts, found = [], []
    monkeypatch.setattr(
        ExampleScores, "_read", lambda *given: parts.append(given[2]) or read(*given)
    )
    for budget in (8192, 200):
        term = Reasoning("zoo/gpt2", "{question} {prompt}", "so it is", 4, 2)
        objective = Objective([term], max_batch_tokens=budget)
        objective.load()
        objective.set_targets(targets)
        prompts = objective.prompts(objective.encode_prompts(texts), [0, 1, 0])
        parts.clear()
        found.append(objective.losses(prompts))
    assert 1 < term.together < 8
    assert len(parts) > 2
    order = [(prompts.owners[row], number) for part in parts for row, number in part]
    assert order == sorted(order)
    assert_near(found[0], found[1])
