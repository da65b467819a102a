"""Going on with runs of every kind of logger, and with other data, models and limits of time."""

from pathlib import Path

import pytest
import yaml

from fuse_lightning.cli import main
from fuse_lightning.results import read_results
from fuse_lightning.resume import last_checkpoint
from fuse_lightning.zoo.commands import scenes

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
    config = {
        "model": {
            "class_path": "AutoDAN",
            "init_args": {
                "steps": STEPS,
                "batch_size": 4,
                "gradient_samples": 1,
                "terms": [
                    {"class_path": "Fluency", "init_args": {"model": "zoo/gpt2"}},
                    {"class_path": "ImageSimilarity", "init_args": {"model": "zoo/clip"}},
                ],
            },
        },
        "data": {"class_path": "ImageTargets", "init_args": {"images": "scenes", "batch_size": 2}},
        "trainer": {
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "callbacks": [
                {"class_path": "ModelCheckpoint", "init_args": {"every_n_train_steps": 1}}
            ],
            **({} if logger is None else {"logger": logger}),
            **options,
        },
    }
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


def test_without_a_checkpoint_a_run_says_that_it_begins_again(capsys):
    write()
    main(["fit", "--config", "run.yaml"])
    whole = rows()
    for path in folder().rglob("*.ckpt"):
        path.unlink()
    main(["fit", "--resume", str(folder())])
    assert f"no checkpoint in {folder().resolve()}: the run begins again" in capsys.readouterr().out
    assert rows() == whole


def test_a_finished_search_stays_where_the_same_command_is_given_again():
    write(False)
    main(["fit", "--config", "run.yaml", "--data.limit=1"])
    (first,) = rows()
    main(["fit", "--config", "run.yaml", "--data.skip_finished=."])
    assert {row[0] for row in rows()} == {"scene-0", "scene-1"}
    assert first in rows()
