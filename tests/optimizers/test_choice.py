"""Choice of prompts by examples in whole searches: what is read, what is chosen, and going on."""

from collections import Counter

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from fuse_lightning.callbacks import FinalVerdict, Headroom
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Classification, Fluency, Objective
from fuse_lightning.objectives.example_scores import ExampleScores
from tests.near import assert_near
from tests.optimizers.example_sets import FRONTIERS, PAIRS, Given, search, targets
from tests.optimizers.runs import close, fit, found

QUIET = FinalVerdict(enabled=False), Headroom(enabled=False)
"""A verdict alone reads test examples; the check before a search reads some examples, too."""
STEPS = {"all of a step": None, "two a step": 2}
steps = pytest.mark.parametrize("size", STEPS.values(), ids=STEPS)
pairs = pytest.mark.parametrize(("name", "frontier"), PAIRS)


@steps
@pytest.mark.parametrize(
    "name",
    ["random", "pez", *(pytest.param(name, marks=pytest.mark.slow) for name in ("gcg", "autodan"))],
)
def test_the_short_list_has_the_losses_of_full_scoring(name, size, tmp_path, double):
    module = search(name, examples_per_step=size)
    fit(module, Given(batch_size=2), tmp_path, FRONTIERS["greedy"](), *QUIET)
    assert {result.target for result in module.results} == {each.id for each in targets()}
    for target in targets():
        rows = [result for result in module.results if result.target == target.id]
        fresh = search(name).objective
        fresh.load()
        fresh.set_targets([target])
        prompts = fresh.prompts([tuple(row.ids) for row in rows], [0] * len(rows))
        losses = fresh.losses(prompts, [target.choosing] * len(rows))
        for row, told, total in zip(rows, losses, fresh.total(losses), strict=True):
            assert_near(torch.tensor([*row.losses.values()]), told)
            assert_near(torch.tensor(row.loss), total)
        assert [row.loss for row in rows] == sorted(row.loss for row in rows)
        assert len({row.prompt for row in rows}) == len(rows)


@steps
@pytest.mark.parametrize("which", [0, 1])
@pairs
def test_nothing_is_scored_twice(name, frontier, which, size, tmp_path, monkeypatch, double):
    read, whole = Counter(), ExampleScores._read

    def counted(self, prompts, wanted):
        read.update((prompts.states[row], number) for row, number in wanted)
        return whole(self, prompts, wanted)

    monkeypatch.setattr(ExampleScores, "_read", counted)
    target = targets()[which]
    fit(
        search(name, examples_per_step=size),
        Given([target]),
        tmp_path,
        FRONTIERS[frontier](),
        *QUIET,
    )
    assert max(read.values()) == 1
    assert {number for _, number in read} <= {*range(len(target.seen))}
    chosen = {number for _, number in read if number in target.choosing}
    assert chosen == {*target.choosing}


@steps
@pairs
def test_targets_of_a_batch_are_searched_as_alone(name, frontier, size, tmp_path, double):
    rows = []
    for batch in (1, 3):
        module = search(name, examples_per_step=size)
        fit(module, Given(batch_size=batch), tmp_path, FRONTIERS[frontier](), *QUIET)
        rows.append(found(module))
    assert rows[1] == close(rows[0])


@pairs
def test_a_search_goes_on_as_if_nothing_had_happened(name, frontier, tmp_path, double):
    options = {"examples_per_step": 2}
    data = {"batch_size": 2}
    whole, rest = search(name, **options), search(name, **options)
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=3, save_top_k=-1)
    fit(whole, Given(**data), tmp_path, FRONTIERS[frontier](), *QUIET, saver)
    (half,) = tmp_path.glob("*step=3.ckpt")
    fit(rest, Given(**data), tmp_path, FRONTIERS[frontier](), *QUIET, ckpt_path=half)
    assert found(rest) == close(found(whole))


def test_another_classification_does_not_go_on(tmp_path):
    saver = ModelCheckpoint(tmp_path, every_n_train_steps=2, save_top_k=-1)
    fit(search("random"), Given(), tmp_path, FRONTIERS["greedy"](), *QUIET, saver)
    (half,) = tmp_path.glob("*step=2.ckpt")

    def goes_on(data=None, **options):
        module = search("random")
        terms = [
            Classification("zoo/gpt2", **{"layout": "{text} {prompt} It was{answer}"} | options)
        ]
        module.objective.terms[0] = terms[0]
        fit(
            module,
            data or Given(),
            tmp_path / "other",
            FRONTIERS["greedy"](),
            *QUIET,
            ckpt_path=half,
        )

    with pytest.raises(FuseError, match=r"words of classification is .*, but was None"):
        goes_on(words={"good": "red", "bad": "box", "up": "a", "down": "b", "none": "c"})
    with pytest.raises(FuseError, match=r"error_weight of classification is 1\.0, but was 0\.0"):
        goes_on(error_weight=1.0)
    with pytest.raises(FuseError, match=r"layout of classification is .*, but was"):
        goes_on(layout="{prompt} {text} It was{answer}")
    changed = targets()
    changed[0].labels = {"good": ["fine"], "bad": ["sad"]}
    with pytest.raises(FuseError, match="'chosen by others' has other content now than"):
        goes_on(Given(changed))


def test_targets_of_examples_that_no_term_reads_are_searched_without_a_choice(tmp_path):
    data = Given()
    module = search("random", examples_per_step=2)
    module.objective = Objective([Fluency("zoo/gpt2")])
    module.choice.objective = module.objective
    fit(module, data, tmp_path, FRONTIERS["history"](), *QUIET)
    assert {result.target for result in module.results} == {each.id for each in targets()}


def test_a_term_that_knows_only_a_part_of_the_examples_is_refused(tmp_path, monkeypatch):
    set_targets = Classification.set_targets

    def fewer(self, given):
        set_targets(self, given)
        self.examples = [len(target.examples) for target in given]

    monkeypatch.setattr(Classification, "set_targets", fewer)
    with pytest.raises(
        FuseError, match="has 10 examples to search with, but classification says 4"
    ):
        fit(search("random"), Given(), tmp_path, FRONTIERS["greedy"](), *QUIET)
