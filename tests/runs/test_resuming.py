"""Going on with runs of every kind of logger, and with other data, models and limits of time."""

import itertools
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import lightning as L
import pytest
import torch
import yaml
from lightning.pytorch.loggers import TensorBoardLogger

from fuse_lightning.cli.main import main
from fuse_lightning.cli.own_folder import OwnFolder
from fuse_lightning.cli.resume import last_checkpoint
from fuse_lightning.cli.zoo import scenes
from fuse_lightning.models.loading import resolve
from fuse_lightning.results.result import read_results
from tests.factories.configs import short_search

pytestmark = pytest.mark.slow

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
def words(request, monkeypatch):
    monkeypatch.setattr("sys.argv", ["fuse"])
    # The copied run was begun in float32, and may go on in other processes.
    if "copy" not in request.fixturenames:
        request.getfixturevalue("double")


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


def test_time_of_an_earlier_run_does_not_count(monkeypatch):
    # A clock that goes by looks, so that a busy machine makes no run shorter.
    looks = itertools.count()
    clock = SimpleNamespace(monotonic=lambda: 0.05 * next(looks))
    monkeypatch.setattr("lightning.pytorch.callbacks.timer.time", clock)
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


def change(**options):
    """What a run's own configuration says of its first term, or of the search, changed."""
    path = folder() / "config.yaml"
    config = yaml.safe_load(path.read_text())
    model = config["model"]["init_args"]
    model["terms"][0]["init_args"].update(options.pop("term", {}))
    model.update(options)
    path.write_text(yaml.safe_dump(config))
    return path.read_bytes()


def with_other_weights(model):
    """A copy of one of the zoo's models of which one weight differs in its last digits."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(resolve(model), "copied")
    tensors = load_file("copied/model.safetensors")
    name = min(tensors)
    tensors[name] = tensors[name] * (1 + 1e-3)
    save_file(tensors, "copied/model.safetensors", {"format": "pt"})
    return str(Path("copied").resolve())


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run that was stopped after three of its steps."""
    place = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setattr("sys.argv", ["fuse"])
        write()
        with suppress(SystemExit):
            main(["fit", "--config", "run.yaml", "--trainer.max_steps=3"])
    return place


@pytest.fixture
def copy(stopped, tmp_path, monkeypatch):
    """The same run, to be changed."""
    shutil.copytree(stopped, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    path = folder() / "config.yaml"
    path.write_text(path.read_text().replace(str(stopped), str(tmp_path / "copy")))


def everything(place):
    return {path: path.read_bytes() for path in Path(place).rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (lambda: ["--data.limit=1"], "other targets: 'scene-1' is not among the data's now"),
        (lambda: ["--model=GCG"], "optimizer is GCG, but was AutoDAN"),
        (lambda: ["--seed_everything=7"], "seed is 7, but was 0"),
        (lambda: ["--trainer.precision=bf16-mixed"], "precision is bf16-mixed, but was 32-true"),
        (
            lambda: ["--trainer.callbacks+=HistorySearch"],
            "frontier is HistorySearch, but was GreedySearch",
        ),
        (
            lambda: ["--model.constraints.block+=red"],
            "constraints is Constraints(tokens='ascii', block=['red']",
        ),
        (lambda: change(term={"weight": 0.5}), "weight of fluency is 0.5, but was 1.0"),
        (lambda: change(term={"prefix": "An image of"}), "prefix of fluency is 'An image of', but"),
        (lambda: change(term={"name": "other"}), "terms is other, image_similarity, but was"),
        (
            lambda: change(term={"model": with_other_weights("zoo/gpt2")}),
            "model content of fluency is ",
        ),
        (
            lambda: Path("scenes/scene-1.png").write_bytes(Path("scenes/scene-0.png").read_bytes()),
            "target 'scene-1' has other content now than when the run in ",
        ),
    ],
)
@pytest.mark.usefixtures("copy")
def test_another_search_does_not_go_on_and_changes_nothing(what, message, capsys):
    words = what()
    before = everything(folder())
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--resume", str(folder()), *(words if isinstance(words, list) else [])])
    assert message in capsys.readouterr().err.splitlines()[-1]
    after = everything(folder())
    assert {path: after[path] for path in before} == before
    new = {path.name.partition(".out.")[0] for path in after.keys() - before.keys()}
    assert new <= {".lock", "events"}


@pytest.mark.parametrize(
    "changes",
    [
        ["--data.batch_size=1"],
        ["--data.batch_size=5"],
        ["--model.init_args.patience=50", "--model.init_args.top=2"],
        ["--model.init_args.max_batch_tokens=64"],
        ["--trainer.devices=2", "--trainer.strategy.start_method=fork"],
    ],
)
@pytest.mark.usefixtures("copy")
def test_effort_and_place_may_change(changes, monkeypatch, tmp_path):
    """The same prompts come out, from any folder."""
    run = folder().resolve()
    scenes_before = [row[0] for row in rows()]
    if "devices" in changes[0]:
        changes = ["--trainer.devices=2"]
        end_in_a_process_of_its_own(run, changes)
    else:
        monkeypatch.chdir(tmp_path)
        main(["fit", "--resume", str(run), "--trainer.max_steps=-1", *changes])
    found = [(r.target, r.prompt) for r in read_results(run / "prompts.jsonl") if r.rank == 1]
    assert [name for name, _ in found] == scenes_before
    assert found == [(name, prompt) for name, prompt, *_ in whole_run(tmp_path)]


def end_in_a_process_of_its_own(run, words):
    command = [sys.executable, "-m", "fuse_lightning", "fit", "--resume", str(run), *words]
    command.append("--trainer.max_steps=-1")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr


def whole_run(place):
    """What the run finds when nothing stops it."""
    with pytest.MonkeyPatch.context() as patch:
        (place / "whole").mkdir()
        patch.chdir(place / "whole")
        write()
        main(["fit", "--config", "run.yaml"])
        return rows()


@pytest.mark.usefixtures("copy")
def test_fewer_steps_and_a_larger_batch_leave_no_target_behind():
    config = yaml.safe_load((folder() / "config.yaml").read_text())
    assert Path(config["data"]["init_args"]["images"]).is_absolute()
    assert config["ckpt_path"] is None
    scenes(Path("scenes"), 5, 5)
    main(
        [
            *("fit", "--resume", str(folder()), "--trainer.max_steps=-1"),
            *("--model.init_args.steps=2", "--data.batch_size=8"),
        ]
    )
    # Targets that have come since are searched for too.
    assert [(row[0], row[3]) for row in rows()] == [(f"scene-{i}", True) for i in range(5)]


@pytest.mark.usefixtures("copy")
def test_a_run_that_is_complete_is_not_searched_again(caplog):
    main(["fit", "--resume", str(folder()), "--trainer.max_steps=-1"])
    done, checkpoint = rows(), last_checkpoint(folder())
    with caplog.at_level("INFO"):
        main(["fit", "--resume", str(folder())])
    assert "all 2 targets have results; nothing is left to do" in caplog.messages
    assert rows() == done
    assert last_checkpoint(folder()) == checkpoint


@pytest.mark.usefixtures("copy")
def test_a_configuration_of_a_run_starts_another_one_elsewhere():
    run = folder()
    main(["fit", "--resume", str(run), "--trainer.max_steps=-1"])
    before = everything(run)
    main(["fit", "--config", str(run / "config.yaml"), "--seed_everything=5"])
    other = run.with_name("version_1")
    assert {row.seed for row in read_results(other / "prompts.jsonl")} == {5}
    assert everything(run) == before
    assert yaml.safe_load((other / "config.yaml").read_text())["trainer"]["logger"]


def test_runs_of_a_fixed_folder_do_not_write_over_each_other(capsys):
    write(LOGGERS["digits"])
    main(["fit", "--config", "run.yaml"])
    before = everything(folder())
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--config", "run.yaml", "--seed_everything=3"])
    error = capsys.readouterr().err.splitlines()[-1]
    assert "version_5' holds prompts.jsonl, prompts.csv" in error
    assert everything(folder()) == before
    events = {path.name for path in folder().glob("events*")}
    main(["fit", "--config", "run.yaml", "--seed_everything=3", "--overwrite"])
    assert not events & {path.name for path in folder().glob("events*")}
    assert {row.seed for row in read_results(folder() / "prompts.jsonl")} == {3}


def test_a_folder_that_is_no_run_does_not_go_on(capsys):
    write(False)
    Path("own").mkdir()
    Path("run.yaml").rename("own/config.yaml")
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--resume", "own"])
    assert "own' holds no run.json" in capsys.readouterr().err.splitlines()[-1]
    assert {path.name for path in Path("own").iterdir()} == {"config.yaml"}


def test_what_tells_of_a_run_does_not_lose_its_table_of_metrics():
    write(LOGGERS["csv"])
    main(["fit", "--config", "run.yaml"])
    before = (folder() / "metrics.csv").read_text()
    main(["predict", "--run", str(folder()), "--out", "out.jsonl"])
    assert (folder() / "metrics-1.csv").read_text() == before


def test_a_checkpoint_of_a_search_that_was_overwritten_counts_for_nothing():
    saver = {"dirpath": "kept", "every_n_train_steps": 1, "save_top_k": -1}
    write(False)
    callbacks({"class_path": "ModelCheckpoint", "init_args": saver})
    main(["fit", "--config", "run.yaml", "--trainer.max_steps=5"])
    words = ["--seed_everything=3", "--overwrite", "--trainer.max_steps=2"]
    main(["fit", "--config", "run.yaml", *words])
    assert last_checkpoint(Path()).stem.endswith("step=2-v1")
    main(["fit", "--resume", ".", "--trainer.max_steps=-1"])
    assert {row.seed for row in read_results(Path("prompts.jsonl"))} == {3}


@pytest.mark.usefixtures("copy")
def test_a_run_goes_on_in_its_own_folder_alone(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--resume", str(folder()), "--trainer.logger=false"])
    told = capsys.readouterr().err.splitlines()[-1]
    assert "the run goes on in '" in told
    assert not Path("prompts.jsonl").exists()


@pytest.mark.usefixtures("copy")
def test_a_try_run_of_a_run_that_goes_on_writes_nothing():
    before = everything(folder())
    main(["fit", "--resume", str(folder()), "--trainer.fast_dev_run=true"])
    assert everything(folder()) == before


def test_a_table_of_metrics_is_not_written_over_where_a_run_goes_on():
    write(LOGGERS["csv"])
    main(["fit", "--config", "run.yaml", "--trainer.max_steps=3"])
    first = (folder() / "metrics.csv").read_text()
    with pytest.raises(SystemExit, match="2"):
        main(["fit", "--resume", str(folder()), "--seed_everything=7"])
    assert (folder() / "metrics.csv").read_text() == first
    main(["fit", "--resume", str(folder()), "--trainer.max_steps=-1"])
    assert (folder() / "metrics-1.csv").read_text() == first


def test_a_users_own_files_are_not_written_over(capsys):
    write(False)
    Path("run.yaml").rename("config.yaml")
    before = everything(".")
    for words in (["--data.limit=1"], ["--model.init_args.steps=wrong"]):
        with pytest.raises(SystemExit, match="2"):
            main(["fit", "--config", "config.yaml", *words])
    assert "holds config.yaml already" in capsys.readouterr().err
    assert {path: text for path, text in everything(".").items() if path in before} == before


def test_runs_that_start_at_once_get_folders_of_their_own(monkeypatch):
    # Each has looked at the folders before any of them made its own.
    monkeypatch.setattr(TensorBoardLogger, "_get_next_version", lambda self: 0)
    holders = []
    for _ in range(3):
        logger = TensorBoardLogger("logs", "search")
        trainer = L.Trainer(logger=logger, accelerator="cpu")
        holders.append(OwnFolder())
        holders[-1].take(trainer, SimpleNamespace(), None)
        assert Path(logger.log_dir) == holders[-1].folder.path
    names = {path.name for path in Path("logs/search").iterdir()}
    assert names == {"version_0", "version_1", "version_2"}


def test_without_a_checkpoint_a_run_says_that_it_begins_again(caplog):
    write()
    main(["fit", "--config", "run.yaml"])
    whole = rows()
    for path in folder().rglob("*.ckpt"):
        path.unlink()
    with caplog.at_level("INFO"):
        main(["fit", "--resume", str(folder())])
    assert (
        f"no checkpoint in {folder().resolve()}: searches that were under way begin again"
        in caplog.messages
    )
    assert rows() == whole


def test_a_checkpoint_of_an_earlier_version_counts_for_nothing(caplog):
    write()
    main(["fit", "--config", "run.yaml", "--trainer.max_steps=3"])
    path = last_checkpoint(folder())
    checkpoint = torch.load(path, weights_only=True)
    del checkpoint["state_dict"]["_extra_state"]["identity"]
    torch.save(checkpoint, path)
    assert last_checkpoint(folder()) is None


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
    main(["fit", "--config", "run.yaml"])
    assert saved() == [6]


def test_a_run_that_ends_early_goes_on_where_it_ended(capsys):
    write()
    callbacks()
    main(["fit", "--config", "run.yaml"])
    whole = rows()
    shutil.rmtree("logs")
    main(["fit", "--config", "run.yaml", "--trainer.max_steps=3"])
    assert saved() == [3]
    capsys.readouterr()
    main(["fit", "--resume", str(folder()), "--trainer.max_steps=-1"])
    assert "begin again" not in "".join(capsys.readouterr())
    assert rows() == whole


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
