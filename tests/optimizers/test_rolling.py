"""Targets that end leave the batch and the next ones enter; when targets end."""

import json
from datetime import timedelta

import pytest
from lightning.pytorch.callbacks import ModelCheckpoint

from fuse_lightning.data import ImageTargets
from fuse_lightning.data.loader import TargetLoader
from fuse_lightning.data.queue import TargetQueue
from fuse_lightning.errors import FuseError
from tests.near import SINGLE
from tests.optimizers.families import OPTIMIZERS, STRATEGIES
from tests.optimizers.runs import close, fit, found

pytestmark = pytest.mark.slow

RUNS = [
    ("autodan", "beam"),
    ("autodan", "uniform cost"),
    ("gcg", "greedy"),
    ("gcg", "history"),
    ("l0", "beam"),
    ("l2", "greedy"),
    ("pez", "greedy"),
    ("autoprompt", "greedy"),
    ("autoprompt_sgd", "greedy"),
    ("fluent_prompt", "greedy"),
    ("simplex", "greedy"),
]


def data(pictures, size):
    """Seven targets, each with a random stream of its own."""
    rows = [{"id": str(n), "file_name": f"pictures/{n % 3}.png"} for n in range(7)]
    path = pictures.parent / "seven.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return ImageTargets(str(path), batch_size=size)


def lengths(monkeypatch, module):
    """The targets of every step."""
    steps = []
    regroup = module._regroup

    def record(targets):
        steps.append([target.id for target in targets])
        regroup(targets)

    monkeypatch.setattr(module, "_regroup", record)
    return steps


@pytest.mark.parametrize(("name", "strategy"), RUNS)
def test_prompts_do_not_depend_on_who_else_is_in_the_batch(
    folders, pictures, tmp_path, monkeypatch, double, name, strategy
):
    results, steps = [], {}
    for size in (1, 3):
        module = OPTIMIZERS[name](folders, patience=2, seed=5)
        steps[size] = lengths(monkeypatch, module)
        fit(module, data(pictures, size), tmp_path, STRATEGIES[strategy]())
        results.append(found(module))
    assert results[1] == close(results[0])
    # Alone, a target holds up nobody; so it has as many steps among others.
    alone = [ids for (ids,) in steps[1]]
    together = [name for ids in steps[3] for name in ids]
    assert sorted(alone) == sorted(together)
    # Only at the end are there fewer than there is room for.
    entered = {name for ids in steps[3] for name in ids}
    seen = set()
    for ids in steps[3]:
        seen.update(ids)
        assert len(ids) == 3 or seen == entered


@pytest.mark.parametrize(("name", "strategy"), RUNS)
def test_a_run_resumed_in_the_midst_of_it_equals_an_uninterrupted_one(
    folders, pictures, tmp_path, double, name, strategy
):
    whole = OPTIMIZERS[name](folders, patience=1, seed=5)
    saver = ModelCheckpoint(tmp_path / "ckpt", every_n_train_steps=1, save_top_k=-1)
    fit(whole, data(pictures, 2), tmp_path / "whole", STRATEGIES[strategy](), saver)
    for stop in (2, 5):
        (checkpoint,) = (tmp_path / "ckpt").glob(f"*step={stop}.ckpt")
        resumed = OPTIMIZERS[name](folders, patience=1, seed=5)
        folder = tmp_path / f"rest-{stop}"
        fit(resumed, data(pictures, 2), folder, STRATEGIES[strategy](), ckpt_path=checkpoint)
        assert found(resumed) == close(found(whole))


def test_a_target_ends_once_its_loss_is_low_enough(folders, pictures, tmp_path, monkeypatch):
    free = OPTIMIZERS["l0"](folders)
    fit(free, data(pictures, 2), tmp_path, GREEDY())
    # The last digits of a loss depend on what shares a forward.
    enough = sorted(row.loss for row in free.results)[3] * (1 + SINGLE)
    bound = OPTIMIZERS["l0"](folders, stop_loss=enough)
    steps = lengths(monkeypatch, bound)
    fit(bound, data(pictures, 2), tmp_path, GREEDY())
    counts = {row.target: sum(row.target in ids for ids in steps) for row in bound.results}
    for row in bound.results:
        if row.loss <= enough:
            assert row.step == counts[row.target]
        else:
            assert counts[row.target] == bound.steps
    assert sum(row.loss <= enough for row in bound.results) >= 4
    assert len(steps) < len(free.results) * free.steps // 2


def test_a_target_ends_once_it_has_taken_too_long(folders, pictures, tmp_path, monkeypatch):
    module = OPTIMIZERS["l0"](folders, max_seconds=1e-9)
    steps = lengths(monkeypatch, module)
    fit(module, data(pictures, 2), tmp_path, GREEDY())
    assert len(steps) == 4
    assert [row.step for row in module.results] == [1] * 7
    with pytest.raises(FuseError, match="max_seconds is 0; it must be above 0"):
        OPTIMIZERS["l0"](folders, max_seconds=0)


def test_a_run_that_ends_by_time_gives_the_best_so_far(folders, pictures, tmp_path):
    module = OPTIMIZERS["l0"](folders, steps=10_000)
    trainer = fit(module, data(pictures, 2), tmp_path, GREEDY(), max_time=timedelta(seconds=1))
    assert 0 < trainer.global_step < 10_000
    assert [row.target for row in module.results] == ["0", "1"]


def test_results_come_in_the_order_of_targets(folders, pictures, tmp_path):
    module = OPTIMIZERS["l0"](folders, patience=1, seed=2)
    served = data(pictures, 3)
    fit(module, served, tmp_path, GREEDY())
    assert [row.target for row in module.results] == [target.id for target in served.targets]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_device_without_targets_idles(folders, pictures, tmp_path, monkeypatch, name):
    monkeypatch.setattr("fuse_lightning.data.loader.gather", lambda mine: [mine, True])
    module = OPTIMIZERS[name](folders)
    served = ImageTargets(str(pictures / "0.png"))
    served.setup("fit")
    queue = TargetQueue(served.targets, 1, module.steps)
    served.train_dataloader = lambda: TargetLoader(queue, most=3)
    trainer = fit(module, served, tmp_path, GREEDY())
    assert trainer.global_step == 3 * module.steps
    assert [row.target for row in module.results] == ["pictures/0.png"]
    assert module.results[0].seconds > 0


GREEDY = STRATEGIES["greedy"]
