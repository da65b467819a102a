"""Ids of extractors and answers for every extractor and label of published runs."""

import pytest

from fuse_lightning.data import Target
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Objective, Reasoning
from fuse_lightning.objectives.answer_ids import branches, parted, read_behind

EXTRACTORS = (
    "Therefore, the final answer is $",
    "Therefore, the final answer is $ ",
    " so it is **",
    "\nTherefore, the final answer is:",
    "\nSo:\n",
    "\nSo:\n\n",
    "so (",
    "so ",
)
LABELS = ("True", "False", "A", "(A)", "-3", "1,200", "São Tomé", "red")


@pytest.mark.parametrize("name", ["zoo", "llama", "gemma", "mistral", "qwen2", "opt"])
def test_every_answer_stands_behind_the_same_extractor(causal_folders, name):
    objective = Objective([Reasoning(str(causal_folders[name]))])
    objective.load()
    model = objective.primary
    for extractor in EXTRACTORS:
        base, gap = parted(extractor, frozenset(model.marks))
        first, behind = read_behind(model, base, [f"{gap}{label}" for label in LABELS])
        lead = model.encode(["a"], special=False).rows[0]
        before = model.tokenizer.decode([*lead, *first])
        assert before == f"a{base}"
        for label, ids in zip(LABELS, behind, strict=True):
            assert model.tokenizer.decode([*lead, *first, *ids]) == f"{before}{gap}{label}"


def test_a_token_that_joins_extractor_and_answer_is_avoided(causal_folders):
    objective = Objective([Reasoning(str(causal_folders["zoo"]))])
    objective.load()
    model = objective.primary
    joined = [text for text in map(model.tokenizer.decode, range(300, 640)) if text.isalpha()]
    text = max(joined, key=len)
    first, (ids,) = read_behind(model, f" {text[0]}", [text[1:]])
    assert model.tokenizer.decode(first) == f" {text[0]}"
    assert model.tokenizer.decode(ids) == text[1:]


def test_an_extractor_without_a_space_is_not_glued_to_the_chain():
    assert parted("So:", frozenset()) == (" So:", " ")
    assert parted("<|end|>So:", frozenset({"<|end|>"})) == ("<|end|>So:", " ")


def test_labels_that_begin_alike_are_told_apart_where_they_differ():
    found, sets = branches([(1, 2), (1, 3), (4,)])
    assert sets == [(1, 4), (2, 3)]
    assert [[(*each,) for each in some] for some in found] == [
        [(0, 0), (1, 1)],
        [(0, 0), (1, 1)],
        [(0, 0)],
    ]
    assert branches([(1,), (1, 2)]) is None


def test_a_label_that_begins_with_another_counts_as_that_one():
    assert branches([(1,), (1, 2), (3,)]) == branches([(1,), (1,), (3,)])
    found, sets = branches([(1, 2), (1, 2, 5), (1, 4), (3,)])
    assert sets == [(1, 3), (2, 4)]
    assert found[0] == found[1]


def question(label, labels=("red", "blue"), **options):
    return Target(
        "one",
        examples=[{"question": "a box", "label": label}],
        answer="word",
        labels={each: [each] for each in labels},
        **options,
    )


def given(folder, targets, **options):
    objective = Objective([Reasoning(folder, "{question} {prompt}\n", **options)])
    objective.load()
    objective.set_targets(targets)
    return objective.terms[0]


def test_a_right_answer_may_be_spelt_otherwise_than_its_label():
    term = given("zoo/gpt2", [question("Red"), question("red")])
    assert term.batch[0].answers == term.batch[1].answers


def test_a_right_answer_that_is_no_label_is_refused():
    with pytest.raises(FuseError, match="'green', which is none of the labels: red, blue"):
        given("zoo/gpt2", [question("green")])


def test_labels_judge_only_where_there_are_some():
    with pytest.raises(FuseError, match="judge is labels, but target 'one' has no closed set"):
        given("zoo/gpt2", [question("red", ())], judge="labels")


def test_chains_of_a_target_do_not_depend_on_who_is_beside_it():
    """Other answers of the batch neither change its room nor drop its chains."""
    term = given("zoo/gpt2", [question("red")], max_chain_tokens=3)
    alone = term.batch[0].behind
    term.set_targets([question("red"), question("a very long answer at night in the snow", ())])
    assert term.batch[0].behind == alone < term.batch[1].behind
