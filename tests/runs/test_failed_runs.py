"""Folders of runs that fail before their first step."""

from pathlib import Path

import pytest

from fuse_lightning.callbacks import PromptTable
from fuse_lightning.cli.main import main
from fuse_lightning.results.run_folder import RunFolder

NOWHERE = ("--data.images=nowhere",)
QUICK = ("fit", "--config", "quickstart")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def numbers():
    return sorted(path.name for path in Path("logs").glob("*/*"))


@pytest.mark.parametrize(
    "option",
    ["--data.images=nowhere", "--model.terms.fluency.model=zoo/clip"],
    ids=["data", "models"],
)
def test_a_run_that_never_begins_takes_no_number(option):
    with pytest.raises(SystemExit) as ended:
        main([*QUICK, option])
    assert ended.value.code
    assert numbers() == []


def test_a_run_that_fails_later_keeps_its_folder(monkeypatch):
    def failing(self, trainer, *args):
        if trainer.global_step == 2:
            raise ValueError("later")

    monkeypatch.setattr(PromptTable, "on_train_batch_end", failing)
    with pytest.raises(ValueError, match="later"):
        main([*QUICK])
    assert numbers() == ["version_0"]


def test_a_folder_that_was_there_stays():
    Path("given").mkdir()
    with pytest.raises(SystemExit):
        main([*QUICK, "--trainer.logger=false", "--trainer.default_root_dir=given", *NOWHERE])
    assert [*Path("given").iterdir()] == []


def taken(*files):
    folder = RunFolder(Path("run"))
    folder.take()
    for name, text in files:
        path = Path("run") / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    folder.drop_set_up()
    folder.leave()
    return sorted(str(path.relative_to("run")) for path in Path("run").rglob("*"))


SET_UP = [
    ("config.yaml", "a: 1"),
    ("events.out.tfevents.1", "x"),
    ("rank1/events.out.tfevents.1", "x"),
]


def test_what_is_written_on_set_up_goes():
    assert taken(*SET_UP, ("prompts.jsonl", ""), ("run.json", "{}")) == []
    assert not Path("run").exists()


@pytest.mark.parametrize(
    "other", [("prompts.jsonl", "{}\n"), ("notes.txt", ""), ("checkpoints/last.ckpt", "x")]
)
def test_nothing_else_goes(other):
    found = taken(*SET_UP, other)
    assert {other[0], *(name for name, _ in SET_UP)} <= {*found}


def test_nothing_goes_from_a_folder_that_was_there():
    Path("run").mkdir()
    Path("run/config.yaml").write_text("a: 1")
    assert "config.yaml" in taken()
