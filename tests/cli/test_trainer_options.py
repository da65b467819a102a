"""Whatever Lightning's trainer offers works in a search, or is one line."""

import inspect
import sys
from pathlib import Path

import lightning.pytorch.callbacks as callbacks
import lightning.pytorch.loggers as loggers
import pytest
import yaml
from lightning.pytorch.accelerators import AcceleratorRegistry
from lightning.pytorch.strategies import SingleDeviceStrategy, StrategyRegistry
from PIL import Image

from fuse_lightning.cli.trainer_options import (
    UNSUITED,
    check_callbacks,
    check_strategy,
    is_complaint,
)
from fuse_lightning.errors import FuseError
from fuse_lightning.search.distributed import PromptStrategy
from tests.factories.configs import short_search

CALLBACKS = [name for name in callbacks.__all__ if inspect.isclass(getattr(callbacks, name))]
NEEDED = {
    "EarlyStopping": {"monitor": "train/best"},
    "GradientAccumulationScheduler": {"scheduling": {0: 1}},
    "ModelPruning": {"pruning_fn": "l1_unstructured"},
    "OnExceptionCheckpoint": {"dirpath": "kept"},
    "StochasticWeightAveraging": {"swa_lrs": 0.1},
}


@pytest.fixture
def run(fit):
    """Runs a search of one step, and returns its code and what it says at the end."""
    Image.effect_noise((32, 32), 90).save("a.png")
    config = short_search("a.png", 1, batch_size=2)
    del config["model"]["init_args"]["terms"][1]
    del config["trainer"]["enable_progress_bar"]
    Path("run.yaml").write_text(yaml.safe_dump(config))

    def run(*words):
        code, lines = fit(*words)
        return code, (lines or [""])[-1]

    return run


@pytest.mark.parametrize("name", CALLBACKS)
def test_every_callback_of_lightning(name, run, monkeypatch):
    loaded = []
    monkeypatch.setattr("fuse_lightning.models.base.FrozenModel.load", loaded.append, raising=True)
    options = yaml.safe_dump({"class_path": name, "init_args": NEEDED.get(name, {})})
    flow = yaml.safe_dump(yaml.safe_load(options), default_flow_style=True, width=999)
    kind = getattr(callbacks, name)
    bad = [each for each in UNSUITED if issubclass(kind, getattr(callbacks, each))]
    if bad:
        code, line = run(f"--trainer.callbacks+={flow.strip()}")
        assert code == 2
        assert line.startswith(f"error: trainer.callbacks hold {name}, which ")
        assert line.endswith("; remove it")
        assert not loaded
        return
    monkeypatch.undo()
    monkeypatch.setattr("sys.argv", ["fuse"])
    code, line = run(f"--trainer.callbacks+={flow.strip()}")
    # What needs a function of the user cannot be named here.
    assert code == 0 or (code == 2 and line.startswith("error: "))


def test_names_of_callbacks_that_are_refused_are_lightnings():
    assert {*UNSUITED} <= {*CALLBACKS}


@pytest.mark.parametrize("name", sorted(StrategyRegistry.available_strategies()))
def test_every_strategy_of_lightning(name):
    if name == "prompts" or name.startswith("single_"):
        check_strategy(name)
        return
    with pytest.raises(FuseError, match=rf"^trainer.strategy is '{name}'.*give 'prompts'$"):
        check_strategy(name)


def test_strategies_that_were_built():
    check_strategy("auto")
    check_strategy(PromptStrategy())
    check_strategy(SingleDeviceStrategy("cpu"))
    check_callbacks([callbacks.ModelCheckpoint(), callbacks.Timer()])


@pytest.mark.parametrize(
    "name", sorted([*AcceleratorRegistry.available_accelerators(), "gpu", "hpu"])
)
def test_every_accelerator_of_lightning(name, run):
    code, line = run(f"--trainer.accelerator={name}")
    assert code == 0 or line.startswith("error: ")


@pytest.mark.parametrize("name", loggers.__all__)
def test_every_logger_of_lightning(name, run):
    code, line = run(f"--trainer.logger={name}")
    assert code == 0 or line.startswith("error: ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--trainer.strategy=ddp"], "trainer.strategy is 'ddp'"),
        (["--ckpt_path=best"], "ModelCheckpoint"),
        (["--ckpt_path=hpc"], "no HPC checkpoint was found"),
        (["--trainer.callbacks+=Logger"], "no class 'Logger' is known"),
        (["--trainer.profiler=bogus"], "`profiler`"),
        (["--trainer.gradient_clip_val=1"], "gradient clipping is not supported"),
        (["--trainer.max_time=x"], "'x'"),
        (["--trainer.precision=transformer-engine"], "transformer_engine"),
    ],
)
def test_what_lightning_complains_about_is_one_line(words, told, run):
    code, line = run(*words)
    assert code == 2
    assert line.startswith("error: ")
    assert told in line


def raised(work):
    with pytest.raises(Exception) as caught:  # noqa: PT011
        work()
    return is_complaint(caught.value)


def test_mistakes_of_ours_and_of_users_keep_their_traceback(run, monkeypatch):
    from lightning.fabric.accelerators import XLAAccelerator

    assert raised(lambda: XLAAccelerator.get_parallel_devices("no"))
    assert not raised(lambda: {}["a"])
    assert not raised(lambda: yaml.safe_load("["))
    Path("mine.py").write_text(
        "from lightning.pytorch.callbacks import Callback\n\n\n"
        "class Broken(Callback):\n"
        "    def on_fit_start(self, trainer, pl_module):\n        {}['gone']\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    with pytest.raises(KeyError, match="gone"):
        run("--trainer.callbacks+=mine.Broken")
    monkeypatch.setattr("fuse_lightning.optimizers.AutoDAN.propose", lambda *_: [][0], raising=True)
    with pytest.raises(IndexError):
        run()
