"""Check at the start of a search: what it says, and that it changes nothing."""

import random

import lightning as L
import numpy as np
import pytest
import torch

from fuse_lightning.callbacks import FinalVerdict, Headroom, PortablePrompts, checking
from fuse_lightning.callbacks.check_lines import WORTH, cost_lines, headroom_lines, last_line
from fuse_lightning.callbacks.checking import Check, checked
from fuse_lightning.data import Target
from fuse_lightning.data.module import TargetDataModule
from fuse_lightning.errors import FuseError
from fuse_lightning.evaluation.floor_options import FloorOptions
from fuse_lightning.evaluation.headroom import FloorFigure
from fuse_lightning.objectives import Classification, Fluency
from fuse_lightning.optimizers import GCG, PEZ, AutoDAN, RandomSearch
from fuse_lightning.search import HistorySearch
from fuse_lightning.search.limits import Limits
from fuse_lightning.search.plan import Cost, Plan
from fuse_lightning.search.rehearsal import copy_of
from fuse_lightning.zoo.moods import mood_captions
from tests.evaluation.test_headroom import room

FLOORS = FloorOptions(stock=["a", "b", "{labels}"], demonstrations=1, draws=1)
OPTIONS = {"prompt_length": 3, "steps": 2, "examples_per_step": 4, "gradient_samples": 2}


class Poison(dict):
    """A test example, which must not be read."""

    def get(self, *_):
        raise AssertionError("a test example was read")

    __getitem__ = get


class Moods(TargetDataModule):
    """Labelled captions; each target has test examples that must not be read."""

    def all_targets(self):
        rows = mood_captions(60)
        labels = {"negative": ["gloomy"], "positive": ["lovely"]}
        parts = [(rows[:8], rows[8:30]), (rows[30:40], rows[40:60])]
        return [
            Target(f"moods {n}", examples=a, select=b, test=[Poison()] * 400, labels=labels)
            for n, (a, b) in enumerate(parts)
        ]


def term():
    return Classification("zoo/gpt2", "{prompt} {text}{answer}")


def fit(folder, module, *callbacks, data=None, ckpt_path=None, **options):
    trainer = L.Trainer(
        accelerator="cpu",
        max_epochs=1,
        # These two read test examples once a search has ended.
        callbacks=[FinalVerdict(FLOORS, enabled=False), PortablePrompts(enabled=False), *callbacks],
        default_root_dir=folder,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=ckpt_path is None and "checkpoints" in options,
        **{key: value for key, value in options.items() if key != "checkpoints"},
    )
    trainer.fit(module, data or Moods(batch_size=2), ckpt_path=ckpt_path)
    return trainer


def found(module):
    return [{**result.to_dict(), "seconds": 0} for result in module.results]


SEARCHES = {
    "GCG": (GCG, {"batch_size": 30, "top_k": 16, "merge": 3}, ()),
    "history": (GCG, {"batch_size": 12, "top_k": 8}, (HistorySearch,)),
    "PEZ": (PEZ, {"polish_steps": 1, "batch_size": 8, "top_k": 8, "restarts": 2}, ()),
    "AutoDAN": (AutoDAN, {"batch_size": 8, "prompt_length": 0}, ()),
    "RandomSearch": (RandomSearch, {"batch_size": 30, "initial_prompt": "red"}, ()),
}


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_goes_on_exactly_as_without_the_check(name, tmp_path, capsys):
    kind, options, frontiers = SEARCHES[name]
    results = []
    for enabled in (False, True):
        module = kind([term()], **OPTIONS | options)
        callbacks = [make() for make in frontiers]
        # Random streams of libraries may be used by classes of a user's own.
        torch.manual_seed(5), random.seed(5), np.random.seed(5)
        fit(tmp_path / str(enabled), module, Headroom(enabled=enabled), *callbacks)
        results.append((found(module), torch.rand(3).tolist(), random.random(), np.random.rand()))
        said = capsys.readouterr().out
        assert ("before the search of moods 0:" in said) == enabled
        assert said.count("worth it") == 2 * enabled
    assert results[0] == results[1]


@pytest.mark.parametrize("enabled", [True, False])
def test_a_verdict_costs_only_where_it_is_given(tmp_path, monkeypatch, enabled):
    seconds = []

    class Look(L.Callback):
        def on_train_start(self, trainer, pl_module):
            trainer.callbacks[0].enabled = enabled
            seconds.append(checked(trainer, module, trainer.datamodule.targets, 10).verdict)
            trainer.callbacks[0].enabled = False

    module = RandomSearch([term()], **OPTIONS | {"batch_size": 4})
    fit(tmp_path, module, Headroom(enabled=False), Look())
    assert (seconds[0] > 0) == enabled


def test_batches_memories_and_terms_stay(tmp_path, monkeypatch):
    module = GCG([term()], batch_size=4, top_k=4, max_batch_tokens=300, **OPTIONS)
    real = checking.rehearse

    def short_of_memory(*args):
        plan = real(*args)
        model = module.objective.primary
        model.budget.tokens = 7
        model.next_log_probs([(1, 2, 3)])
        assert model.remembered.continuations is not None
        return plan

    class Look(L.Callback):
        def on_train_start(self, trainer, pl_module):
            model = module.objective.primary
            before = {**vars(model.budget)}
            checked(trainer, module, trainer.datamodule.targets, 10)
            assert vars(model.budget) == before
            assert before["tokens"] == 300
            assert model.remembered.rows is model.remembered.continuations is None
            assert module.searches == module.targets == []
            # No term was given a target.
            assert "batch" not in vars(module.objective.terms[0])

    monkeypatch.setattr(checking, "rehearse", short_of_memory)
    fit(tmp_path, module, Headroom(enabled=False), Look())


def test_the_estimate_is_what_a_step_takes(tmp_path):
    racing = {"alpha": 0, "entrants": 4}
    module = GCG(
        [term()],
        **OPTIONS | {"batch_size": 60, "top_k": 32, "merge": 0, "steps": 1, "racing": None},
    )
    module.racing = module.choice.racing = type(module.racing)(**racing)
    plans = []

    class Look(L.Callback):
        def on_train_start(self, trainer, pl_module):
            plans.append(checked(trainer, module, trainer.datamodule.targets, 10).plan)

    fit(tmp_path, module, Headroom(enabled=False), Look(), data=Moods(limit=1))
    (plan,), (result,) = plans, module.results
    assert plan.candidates == 60
    # Each candidate meets 4 examples, and the 4 best meet the 22 that choose.
    assert plan.step.evaluations == result.evaluations == 60 * 4 + 4 * 22
    assert plan.start == Cost(seconds=plan.start.seconds)
    assert plan.total.tokens == pytest.approx(result.tokens, rel=0.25)
    assert plan.total.flops == pytest.approx(result.flops, rel=0.25)


def test_a_resumed_search_is_not_checked(tmp_path, capsys):
    options = {"batch_size": 4, "top_k": 4, **OPTIONS}
    module = GCG([term()], **options)
    trainer = fit(tmp_path, module, max_steps=1, checkpoints=True)
    path = str(tmp_path / "last.ckpt")
    trainer.save_checkpoint(path)
    assert "before the search" in capsys.readouterr().out
    module = GCG([term()], **options)
    module.overwrite = True
    fit(tmp_path / "b", module, ckpt_path=path)
    assert "before the search" not in capsys.readouterr().out


def test_searches_without_labelled_examples_are_not_checked(tmp_path, capsys):
    class Texts(TargetDataModule):
        def all_targets(self):
            return [Target("a", text="a red house")]

    module = RandomSearch([Fluency("zoo/gpt2")], prompt_length=2, steps=1, batch_size=4)
    fit(tmp_path, module, data=Texts())
    assert "before the search" not in capsys.readouterr().out


def test_a_search_that_cannot_be_copied_is_searched_all_the_same(tmp_path, caplog):
    class Own(RandomSearch):
        def load(self, device="cpu"):
            super().load(device)
            self.steps_of = (step for step in range(3))

    module = Own([term()], batch_size=4, **OPTIONS)
    trainer = fit(tmp_path, module)
    assert "is not checked: Own cannot be copied for a check (" in caplog.text
    assert len(module.results) == 2
    with pytest.raises(FuseError, match="its method shared can name what copies use"):
        copy_of(module, trainer)


def test_fewer_than_one_example():
    with pytest.raises(FuseError, match="examples of Headroom is 0; it must be above 0"):
        Headroom(examples=0)


def test_lines():
    plan = Plan(512, Cost(), Cost(9000, 1.2e6, 30.0, 1e12), Limits(steps=16, max_seconds=100))
    check = Check(3, plan, {"a": room()}, 45.0)
    assert cost_lines(check) == [
        "a step takes about 512 candidates, 9 000 evaluations, 1 200 000 tokens and 30 s; "
        "max_seconds allows about 4 steps, in all 36 000 evaluations, 4 800 000 tokens and "
        "2 min for each of 3 targets, and 45 s for the verdict"
    ]
    assert headroom_lines(room(outside=None)) == [
        "the best floor is the best stock instruction: 70.0 % of 200 examples that choose (95 % "
        "interval 63.3 % to 75.9 %; the most frequent class: 50.0 %), which leaves 30.0 points",
        "400 test examples can show a gain of 5.0 points or more",
    ]
    # A prompt that shows some of the examples that choose is asked for the others alone.
    few = FloorFigure.of("the best demonstrations", "", 1, 4, 1.0)
    line, _ = headroom_lines(room(4, 8, floors=[few]))
    assert line.startswith("the best floor is the best demonstrations: 25.0 % of 4 examples")
    assert last_line(room(), plan) == WORTH
    assert last_line(room(tests=0), plan).startswith("not worth it: there are no test examples")
    assert "max_seconds" in last_line(room(), Plan(1, Cost(), Cost(seconds=60.0), plan.limits))
