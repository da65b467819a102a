"""What optimizers use up, against hooks on their networks; searches that end by a budget."""

from contextlib import ExitStack

import pytest
from lightning.pytorch.callbacks import Callback

from fuse_lightning.data import ImageTargets
from fuse_lightning.models import base
from fuse_lightning.objectives import ImageSimilarity
from fuse_lightning.optimizers import Captioner
from fuse_lightning.search import GreedySearch
from tests.engine.positions import counted
from tests.factories.captioners import blip
from tests.near import near
from tests.optimizers.runs import fit, found
from tests.optimizers.test_every_optimizer import OPTIMIZERS

NAMES = ["autodan", "gcg", "l0", "pez"]


class Positions(Callback):
    """Positions that the networks of a search read in its steps, and what it says after each."""

    def __init__(self):
        self.told, self.positions = [], 0

    def on_train_batch_start(self, trainer, module, *args):
        models = [*module.objective.models, *filter(None, [module.captioner])]
        networks = {id(model.module): model.module for model in models}
        self.stack = ExitStack()
        self.count = self.stack.enter_context(counted(*networks.values()))

    def on_train_batch_end(self, trainer, module, *args):
        self.stack.close()
        self.positions += self.count["forward"]
        search = module.searches[0]
        self.told.append((search.evaluations, search.tokens, search.flops))


def search(module, folder, targets, *callbacks):
    fit(module, targets, folder, GreedySearch(), *callbacks)
    return module.results


@pytest.mark.parametrize("name", NAMES)
def test_the_targets_share_all_that_was_read(folders, pictures, tmp_path, name):
    module, positions = OPTIMIZERS[name](folders, seed=3), Positions()
    rows = search(module, tmp_path, ImageTargets(str(pictures), batch_size=2), positions)
    assert sum(row.tokens for row in rows) == pytest.approx(positions.positions, abs=len(rows))
    # Loading reads something too, to try the networks out.
    meters = {id(meter): meter for model in module.objective.models for meter in model.meters}
    assert 0 < sum(row.flops for row in rows) <= sum(meter.flops for meter in meters.values())
    assert all(row.flops > row.tokens for row in rows)
    assert rows[0].evaluations > 0


def test_a_captioner_counts_beside_the_terms(folders, pictures, tmp_path):
    writer = blip(tmp_path / "blip")
    module, positions = (
        Captioner([ImageSimilarity(folders["clip"])], str(writer), count=4, steps=2),
        Positions(),
    )
    rows = search(module, tmp_path, ImageTargets(str(pictures), batch_size=2), positions)
    assert sum(row.tokens for row in rows) == pytest.approx(positions.positions, abs=len(rows))
    assert all(meter.forward > 0 for meter in module.captioner.meters if meter.reads)


@pytest.mark.parametrize("name", NAMES)
def test_meters_change_no_prompt(folders, pictures, tmp_path, monkeypatch, name):
    rows = []
    for watched in (True, False):
        if not watched:
            monkeypatch.setattr(base, "watch", lambda *_: [])
        module = OPTIMIZERS[name](folders, seed=3)
        search(module, tmp_path, ImageTargets(str(pictures), batch_size=2))
        rows.append(found(module))
        assert (module.results[0].tokens > 0) == watched
    assert rows[0] == rows[1]


@pytest.mark.parametrize("name", ["autodan", "gcg", "pez"])
@pytest.mark.parametrize("kind", ["evaluations", "tokens", "flops"])
def test_the_first_step_that_reaches_a_budget_is_the_last(folders, tmp_path, pictures, name, kind):
    picture = next(pictures.iterdir())
    number = ("evaluations", "tokens", "flops").index(kind)
    steps = Positions()
    search(OPTIMIZERS[name](folders, seed=3), tmp_path, ImageTargets(str(picture)), steps)
    used = [told[number] for told in steps.told]
    assert used == sorted(used)
    assert used[0] < used[-1]
    for most in (used[1], used[1] + 1):
        last = 1 + next(step for step, total in enumerate(used) if total >= most)
        short = OPTIMIZERS[name](folders, seed=3, **{f"max_{kind}": most})
        (row,) = search(short, tmp_path, ImageTargets(str(picture)))
        assert short.searches[0].step == last
        assert getattr(row, kind) == near(used[last - 1])


def test_where_losses_change_with_every_step_each_step_evaluates_anew(folders, pictures, tmp_path):
    module = OPTIMIZERS["l0"](folders, seed=3)
    search(module, tmp_path, ImageTargets(str(pictures), batch_size=1))
    module.objective.terms[0].steady = False
    # As when another target has just entered the batch.
    module.objective.set_targets(module.targets)
    evaluated = module.searches[0].evaluated
    before = evaluated.count
    for step in range(2):
        module.begin_step([step])
        evaluated.add((1, 2))
    assert evaluated.count == before + 2
