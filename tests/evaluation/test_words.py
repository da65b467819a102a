"""The short words of evaluation and the many that they stand for."""

import json

import pytest

from fuse_lightning.cli.resume import expand
from fuse_lightning.errors import FuseError


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "logs" / "search" / "version_0"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text("trainer: {logger: true}")
    return folder


def callbacks(words):
    head = "--trainer.callbacks+="
    return [json.loads(word.removeprefix(head)) for word in words if word.startswith(head)]


def test_a_run_stands_for_its_config_its_folder_and_its_prompts(run):
    words = expand(["validate", "--run", str(run), "--trainer.devices=2"])
    assert words[0] == "validate"
    assert words[words.index("--config") + 1] == str(run / "config.yaml")
    (logger,) = [word for word in words if word.startswith("--trainer.logger=")]
    assert json.loads(logger.removeprefix("--trainer.logger="))["init_args"] == {
        "save_dir": str(run.parent.parent),
        "name": "search",
        "version": "version_0",
    }
    assert words.index("--ckpt_path=null") < words.index("--trainer.devices=2")
    assert callbacks(words) == [{"class_path": "StoredPrompts", "init_args": {"run": str(run)}}]


def test_transfer_is_a_list(run):
    words = expand(["test", "--transfer", "a", "--run", str(run), "--transfer=b"])
    assert callbacks(words)[1] == {
        "class_path": "TransferModels",
        "init_args": {"models": ["a", "b"], "classifier": None},
    }


def test_without_a_run_the_other_words_stay(run):
    words = expand(["validate", "--config", "x", "--classifier", "zoo/sentiment"])
    assert words[1:4] == ["--verbose=false", "--config", "x"]
    assert callbacks(words)[0]["init_args"] == {"models": [], "classifier": "zoo/sentiment"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["validate", "--run"], r"--run '' holds no config\.yaml; give"),
        (["predict", "--run=nowhere"], r"--run 'nowhere' holds no config\.yaml; give"),
        (["fit", "--run", "x"], "--run cannot be used with fuse fit; use fuse validate or"),
        (["predict", "--transfer", "x"], "cannot be used with fuse predict; use fuse validate or"),
        (["test", "--out", "x"], "--out cannot be used with fuse test; use fuse predict"),
        (["test", "--transfer"], "--transfer has no value"),
    ],
)
def test_words_out_of_place_are_refused(words, message):
    with pytest.raises(FuseError, match=message):
        expand(words)
