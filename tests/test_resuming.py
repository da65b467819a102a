"""Going on with runs of every kind of logger, and with other data, models and limits of time."""

import itertools
import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fuse_lightning.cli import main
from fuse_lightning.results import read_results
from fuse_lightning.resume import expand, last_checkpoint
from fuse_lightning.zoo.commands import scenes
from tests.near import near
from tests.short_search import short_search

STEPS = 6
LOGGERS = {
    "none": False,
    "default": True,
    "csv": {"class_path": "CSVLogger", "init_args": {"save_dir": "logs", "name": "search"}},
    "two": [
        {"class_path": "TensorBoardLogger", "init_args": {"save_dir": "logs", "name": "search"}},
        {"class_path": "CSVLogger", "init_args": {"save_dir": "logs", "name": "search"}},
    ],
    "digits": {
        "class_path": "TensorBoardLogger",
        "init_args": {"save_dir": "logs", "name": "runs", "version": "5"},
    },
}


def write(logger=None, **options):
    """Configuration of a short search for two scenes."""
    scenes(Path("scenes"), 2, 5)
    trainer = options if logger is None else {"logger": logger, **options}
    config = short_search("scenes", STEPS, trainer, batch_size=4)
    config["data"]["init_args"]["batch_size"] = 2
    Path("run.yaml").write_text(yaml.safe_dump(config))


def folder():
    (found,) = {path.parent for path in Path().rglob("prompts.jsonl")}
    return found


def rows():
    return [
        (row.target, row.prompt, row.step, row.finished)
        for row in read_results(folder() / "prompts.jsonl")
    ]


@pytest.fixture(autouse=True)
def words(monkeypatch, double):
    monkeypatch.setattr("sys.argv", ["fuse"])


@pytest.mark.parametrize("name", LOGGERS)
def test_a_run_goes_on_in_its_own_folder(name, monkeypatch):
    write(LOGGERS[name])
    main(["fit", "--config", "run.yaml"])
    whole = rows()
    assert [row[3] for row in whole] == [True, True]
    Path("other").mkdir()
    monkeypatch.chdir("other")
    write(LOGGERS[name])
    main(["fit", "--config", "run.yaml", "--trainer.max_steps=3"])
    assert [row[3] for row in rows()] == [False, False]
    run = folder()
    main(["fit", "--resume", str(run), "--trainer.max_steps=-1"])
    assert folder() == run
    assert rows() == whole
    main(["predict", "--run", str(run), "--out", "out.jsonl"])
    assert len(Path("out.jsonl").read_text().splitlines()) == 2


def test_checkpoints_may_lie_elsewhere_beside_those_of_other_runs():
    saver = {"dirpath": "kept/here", "every_n_train_steps": 1, "save_top_k": -1}
    write()
    config = yaml.safe_load(Path("run.yaml").read_text())
    config["trainer"]["callbacks"] = [{"class_path": "ModelCheckpoint", "init_args": saver}]
    Path("run.yaml").write_text(yaml.safe_dump(config))
    words = ["fit", "--config", "run.yaml", "--seed_everything=3"]
    main(words)
    whole, first = rows(), folder().resolve()
    assert last_checkpoint(first) == Path(f"kept/here/epoch=0-step={STEPS}.ckpt").resolve()
    shutil.move(folder() / "prompts.jsonl", "whole.jsonl")
    main([*words, "--trainer.max_steps=3"])
    run = folder().resolve()
    assert run != first
    assert last_checkpoint(run).name.startswith("epoch=0-step=3")
    main(["fit", "--resume", str(run), "--trainer.max_steps=-1"])
    assert rows() == whole


def test_time_of_an_earlier_run_does_not_count():
    write(max_time="00:00:00:01")
    config = yaml.safe_load(Path("run.yaml").read_text())
    options = config["model"]["init_args"] | {"steps": 5000, "prompt_length": 4}
    config["model"] = {"class_path": "RandomSearch", "init_args": options}
    Path("run.yaml").write_text(yaml.safe_dump(config))
    main(["fit", "--config", "run.yaml"])
    first = last_checkpoint(folder())
    assert not any(row[3] for row in rows())
    main(["fit", "--resume", str(folder())])
    assert last_checkpoint(folder()) != first


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--data.limit=1"], "the checkpoint is of a search for other targets"),
        (["--model=GCG"], "was written by AutoDAN of fluency, image_similarity, not by GCG of"),
    ],
)
def test_another_search_does_not_go_on(changes, message, capsys):
    write()
    main(["fit", "--config", "run.yaml", "--trainer.max_steps=3"])
    before = rows()
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--resume", str(folder()), *changes])
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert rows() == before


def test_without_a_checkpoint_a_run_says_that_it_begins_again(caplog):
    write()
    main(["fit", "--config", "run.yaml"])
    whole = rows()
    for path in folder().rglob("*.ckpt"):
        path.unlink()
    with caplog.at_level("INFO"):
        main(["fit", "--resume", str(folder())])
    assert f"no checkpoint in {folder().resolve()}: the run begins again" in caplog.messages
    assert rows() == whole


def test_a_checkpoint_that_does_not_tell_its_search_does_not_go_on(capsys):
    write()
    main(["fit", "--config", "run.yaml", "--trainer.max_steps=3"])
    path = last_checkpoint(folder())
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["state_dict"]["_extra_state"]["search"]
    torch.save(checkpoint, path)
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--resume", str(folder())])
    assert "was written by an earlier version, not by AutoDAN" in capsys.readouterr().err


@pytest.mark.parametrize("logger", [["csv"], [None], {"init_args": 3}, {"init_args": None}])
def test_a_logger_that_is_none_is_left_to_lightning(logger):
    write(logger)
    Path("run").mkdir()
    Path("run.yaml").rename("run/config.yaml")
    given = expand(["fit", "--resume", "run"])
    assert f"--trainer.logger={json.dumps(logger)}" in given


def test_a_finished_search_stays_where_the_same_command_is_given_again():
    write(False)
    main(["fit", "--config", "run.yaml", "--data.limit=1"])
    (first,) = rows()
    main(["fit", "--config", "run.yaml", "--data.skip_finished=."])
    assert {row[0] for row in rows()} == {"scene-0", "scene-1"}
    assert first in rows()


def callbacks(*others):
    """Changes what the run is given as callbacks."""
    config = yaml.safe_load(Path("run.yaml").read_text())
    config["trainer"]["callbacks"] = list(others)
    Path("run.yaml").write_text(yaml.safe_dump(config))


def saved():
    return sorted(int(path.stem.split("step=")[1]) for path in folder().rglob("*.ckpt"))


def test_checkpoints_by_time(monkeypatch):
    write()
    times = {"train_time_interval": "0:01:00", "save_top_k": -1}
    callbacks({"class_path": "ModelCheckpoint", "init_args": times})
    clock = itertools.count(step=25)
    monkeypatch.setattr("fuse_lightning.callbacks.checkpoints.time.monotonic", lambda: next(clock))
    main(["fit", "--config", "run.yaml"])
    assert 1 < len(saved()) < STEPS
    assert saved()[0] < STEPS
    whole = rows()
    for path in folder().rglob("*.ckpt"):
        if int(path.stem.split("step=")[1]) > saved()[0]:
            path.unlink()
    main(["fit", "--resume", str(folder())])
    assert rows() == whole


def test_a_run_that_was_not_told_when_writes_checkpoints_as_it_goes(monkeypatch):
    monkeypatch.setattr("fuse_lightning.callbacks.checkpoints.STEPS", 2)
    write()
    callbacks()
    main(["fit", "--config", "run.yaml", "--trainer.max_steps=3"])
    assert saved() == [2]
    main(["fit", "--resume", str(folder()), "--trainer.max_steps=-1"])
    assert [row[3] for row in rows()] == [True, True]
    assert saved()[-1] == 6


def test_a_configuration_that_cannot_be_written_leaves_the_old_one(monkeypatch, capsys):
    write()
    main(["fit", "--config", "run.yaml", "--trainer.max_steps=3"])
    config = folder() / "config.yaml"
    before = config.read_text()
    assert yaml.safe_load(before)["trainer"]["max_steps"] == 3

    def full(*args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr("os.fsync", full)
        with pytest.raises(SystemExit, match="2"):
            main(["fit", "--resume", str(folder())])
    assert "No space left on device" in capsys.readouterr().err
    assert config.read_text() == before
    main(["fit", "--resume", str(folder()), "--trainer.max_steps=-1"])
    assert [row[3] for row in rows()] == [True, True]


@pytest.mark.parametrize(
    "logger", ["&a [*a]", "{init_args: {version: 2026-01-01}}", "[" * 3000, "{: ]"]
)
def test_a_logger_that_makes_no_sense_is_left_to_lightning(logger):
    Path("run").mkdir()
    Path("run/config.yaml").write_text(f"trainer:\n  logger: {logger}\n")
    assert expand(["fit", "--resume", "run"])[1:3] == [
        "--config",
        str(Path("run").resolve() / "config.yaml"),
    ]


def test_tensorboard_shows_the_losses_of_every_term_and_the_options_with_the_final_ones():
    write({"class_path": "TensorBoardLogger", "init_args": {"save_dir": "logs", "name": "search"}})
    main(["fit", "--config", "run.yaml"])
    results = read_results(folder() / "prompts.jsonl")
    events = EventAccumulator(str(folder()), {"scalars": 0}).Reload()
    points = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    for name in ("fluency", "image_similarity"):
        last = points[f"train/{name}"][-1].value
        mean = sum(row.losses[name] for row in results) / len(results)
        assert last == near(mean, size=1)
        assert points[f"final/{name}"][-1].value == near(mean, size=1)
    total = sum(row.loss for row in results) / len(results)
    best = [point.value for point in points["train/best"]]
    assert best == sorted(best, reverse=True)
    assert best[-1] == near(total, size=1)
    assert points["final/best"][-1].value == near(total, size=1)
    assert all(point.value > 0 for point in points["train/candidates_per_second"])
    plugins = (
        events.summary_metadata[tag].plugin_data.content
        for tag in events.summary_metadata
        if "hparams" in tag
    )
    told = b"".join(plugins)
    for words in (b"AutoDAN", b"GreedySearch", b"image_similarity/weight", b"zoo/clip"):
        assert words in told
