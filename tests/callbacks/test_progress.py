"""What a run tells while it goes on: a bar on a terminal, plain lines in a log file."""

import re
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
from PIL import Image
from rich.cells import cell_len

from fuse_lightning.callbacks import PromptProgressBar, progress
from fuse_lightning.callbacks.progress import BAR, _duration
from fuse_lightning.data import ImageTargets, Target, TargetQueue
from fuse_lightning.data.loader import TargetLoader
from fuse_lightning.errors import FuseError
from fuse_lightning.objectives import Fluency, ImageSimilarity
from fuse_lightning.optimizers import AutoDAN
from tests.callbacks.stubs import Idle


@pytest.fixture
def search(capsys):
    """Runs a search of three pictures and returns what it printed."""
    for name in ("a", "b", "c"):
        Image.effect_noise((32, 32), 90).save(f"{name}.png")

    def search(**options):
        module = AutoDAN(
            [Fluency("zoo/gpt2"), ImageSimilarity("zoo/clip")],
            steps=2,
            batch_size=2,
            gradient_samples=1,
        )
        trainer = L.Trainer(
            accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False, **options
        )
        trainer.fit(module, ImageTargets(["a.png", "b.png", "c.png"], batch_size=2))
        return capsys.readouterr().out

    return search


def test_a_log_file_has_plain_lines(search, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0)
    out = search()
    assert "\r" not in out
    lines = [line for line in out.splitlines() if "targets, " in line]
    assert [line.split(",")[0] for line in lines] == [
        "0 of 3 targets",
        "2 of 3 targets",
        "2 of 3 targets",
        "3 of 3 targets",
        "3 of 3 targets",
    ]
    assert re.fullmatch(r"0 of 3 targets, \d+ s left, mean loss \d\.\d{3}", lines[0])
    assert re.fullmatch(r"2 .*, [\d.]+ a minute, \d+ s left, mean loss \d\.\d{3}", lines[1])
    assert re.fullmatch(r"3 of 3 targets, [\d.]+ a minute, mean loss \d\.\d{3}", lines[-1])


def test_a_quick_run_writes_its_last_line_alone(search):
    assert search().count("targets, ") == 1


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_terminal_has_a_bar_as_wide_as_it_is(search, monkeypatch, columns):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "24")
    out = search()
    assert "Epoch" not in out
    assert "of 3 targets" not in out
    frames = [frame.rstrip() for frame in re.split(r"[\r\n]", out) if "3/3 targets" in frame]
    narrow = columns == 40
    rate = r"(, [\d.]+ a minute)?" if narrow else r", [\d.]+ a minute"
    shown = re.search(rf"3/3 targets{rate}(, \d+ s left)?, mean loss \d\.\d{{3}}", frames[-1])
    assert shown
    assert re.match("$" if narrow else r": \S", frames[-1][shown.end() :])
    assert max(len(frame) for frame in frames) < columns


def test_a_long_prompt_loses_its_beginning_and_none_of_its_wide_characters(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    bar = PromptProgressBar()
    bar.setup(SimpleNamespace(is_global_zero=True), None, "fit")
    best = SimpleNamespace(prompt="红色的房子" * 20 + " end", loss=2.5)
    module = Idle(searches=[SimpleNamespace(best=best, done=False)])
    served = TargetLoader(TargetQueue([Target("a"), Target("b")]))
    trainer = SimpleNamespace(train_dataloader=served, num_training_batches=4, max_epochs=1)
    bar._trainer, bar._begun, bar._steps = trainer, 0.5, 1
    line = bar._line(trainer, module)
    assert line.endswith("红色的房子 end")
    assert ": …" in line
    assert 76 <= BAR + 1 + cell_len(line) <= 79


def test_nothing_is_left_of_a_bar_where_a_run_breaks_off(search, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    # Of a large file the header alone is read before the search.
    Image.effect_noise((1600, 1600), 90).save("c.png")
    data = Path("c.png").read_bytes()
    Path("c.png").write_bytes(data[: 2**21])
    with pytest.raises(FuseError, match="broken"):
        search()
    out = capsys.readouterr().out
    assert "2/3 targets" in out
    # What is printed last takes the bar's line away.
    assert not out.replace("\n", "\r").rstrip("\r").rpartition("\r")[2].strip()


@pytest.mark.parametrize("terminal", [True, False])
def test_it_can_be_switched_off(terminal, search, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    out = search(enable_progress_bar=False)
    assert "targets" not in out
    assert "\r" not in out


def result(target, rank=1):
    return SimpleNamespace(target=target, rank=rank, loss=1.0 if rank == 1 else 9.0)


def test_rate_and_time_are_those_of_this_process_and_this_device(monkeypatch, capsys):
    """It goes on at step 40 of 100 with 4 targets found, and does 20 steps in 60 seconds."""
    clock = iter([1000.0, 1060.0, 1060.0, 1060.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    found = [result(str(index)) for index in range(4)]
    best = SimpleNamespace(prompt="a", loss=2.5)
    searches = [SimpleNamespace(best=best, done=False), SimpleNamespace(best=None, done=False)]
    module = Idle(*found, searches=searches)
    served = TargetLoader(TargetQueue([Target(str(index)) for index in range(7)]))
    trainer = SimpleNamespace(
        train_dataloader=served,
        global_rank=0,
        world_size=2,
        is_global_zero=True,
        num_training_batches=100,
        max_epochs=1,
    )
    bar = PromptProgressBar()
    bar.setup(trainer, module, "fit")
    bar.on_train_start(trainer, module)
    bar.on_train_batch_start(trainer, module, None, 40)
    module.results = [*found, result("x"), result("x", rank=2), result("y"), result("z")]
    bar.on_train_batch_end(trainer, module, None, None, 59)
    # Four targets are left: fewer than the 40 steps would be, at three targets in 20 steps.
    assert capsys.readouterr().out == "7 of 11 targets, 3.0 a minute, 80 s left, mean loss 1.188\n"


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (99, "99 s"), (1020, "17 min"), (11520, "3.2 h")]
)
def test_times_are_in_the_unit_that_people_use(seconds, words):
    assert _duration(seconds) == words


def test_of_one_target_the_steps_are_told(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY", 0)
    Image.effect_noise((32, 32), 90).save("a.png")
    module = AutoDAN(
        [Fluency("zoo/gpt2"), ImageSimilarity("zoo/clip")],
        steps=2,
        batch_size=2,
        gradient_samples=1,
    )
    trainer = L.Trainer(accelerator="cpu", max_epochs=1, logger=False, enable_checkpointing=False)
    trainer.fit(module, ImageTargets("a.png"))
    lines = [line for line in capsys.readouterr().out.splitlines() if " target, " in line]
    assert re.fullmatch(r"0 of 1 target, step 1 of at most 2, \d+ s left, loss \d\.\d{3}", lines[0])
    assert re.fullmatch(r"1 of 1 target, [\d.]+ a minute, loss \d\.\d{3}", lines[-1])
