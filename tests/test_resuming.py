"""Going on with runs of every kind of logger, and with other data, models and limits of time."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from fuse_lightning.cli import main
from fuse_lightning.results import read_results
from fuse_lightning.resume import expand, last_checkpoint
from fuse_lightning.zoo.commands import scenes
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
def words(monkeypatch):
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
