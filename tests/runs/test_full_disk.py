"""A full disk or a read-only folder ends a run with one line, and what was found is whole."""

import json
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image

from fuse_lightning.cli.main import main
from fuse_lightning.results.export import json_lines
from fuse_lightning.results.result import Result, read_results
from fuse_lightning.utilities.files import append_lines
from tests.disk import at_most
from tests.factories.configs import short_search

RUN = Path("logs/search/version_0")


@pytest.fixture
def words(monkeypatch):
    """A search of two pictures, one after the other, with a checkpoint at every step."""
    monkeypatch.setattr(sys, "argv", ["fuse"])
    for name in ("a.png", "b.png"):
        Image.effect_noise((32, 32), 90).save(name)
    config = short_search(["a.png", "b.png"], 2, batch_size=2)
    Path("run.yaml").write_text(json.dumps(config))
    return ["fit", "--config", "run.yaml"]


def ends(words, capsys):
    """Lines of a run that ends with an error."""
    with pytest.raises(SystemExit, match="2"):
        main(words)
    lines = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("error: ") for line in lines) == 1
    assert "Traceback" not in "".join(lines)
    return lines


def test_a_checkpoint_that_cannot_be_written(words, monkeypatch, capsys):
    save = ModelCheckpoint._save_checkpoint

    def full(self, trainer, path):
        with at_most(4096 if trainer.global_step == 3 else 2**30):
            save(self, trainer, path)

    with monkeypatch.context() as disk:
        disk.setattr(ModelCheckpoint, "_save_checkpoint", full)
        *_, kept, resume, error = ends(words, capsys)
    assert kept == f"1 prompts are in {RUN / 'prompts.jsonl'}"
    assert resume == f"go on with: fuse fit --resume {RUN}"
    assert error.startswith("error: [Errno 27] File too large")
    assert error.endswith("check the path, its permissions and the space left")
    before = read_results(RUN / "prompts.jsonl")
    assert [result.target for result in before] == ["a.png"]
    # Once there is room the run goes on, from the last checkpoint that is whole.
    main(["fit", "--resume", str(RUN)])
    after = read_results(RUN / "prompts.jsonl")
    assert [result.target for result in after] == ["a.png", "b.png"]
    assert after[0].prompt == before[0].prompt


@contextmanager
def read_only(folder):
    """A folder that nobody can write to, whoever asks."""
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this user cannot mount a read-only folder")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_read_only_folder(words, tmp_path, capsys):
    Path("logs").mkdir()
    with read_only(tmp_path / "logs"):
        error = ends(words, capsys)[-1]
    assert error.startswith("error: [Errno 30] Read-only file system: '")
    assert error.endswith("logs/search'; check the path, its permissions and the space left")


@pytest.mark.parametrize("place", ["file", "file/folder"])
def test_a_report_that_cannot_be_written(place, tmp_path, capsys):
    Path("file").touch()
    rows = [Result("a", "b", [1], 1.0, {"fluency": 1.0}, 1, 0, 1.0)]
    Path("prompts.jsonl").write_text(json_lines(rows))
    error = ends(["report", ".", "--out", place], capsys)[-1]
    assert error.startswith(f"error: '{place}/report.html' cannot be written (")
    assert error.endswith("; make room there, or give another folder as --out")


def test_a_full_disk_leaves_the_report_before(capsys):
    rows = [Result("a", "b", [1], 1.0, {"fluency": 1.0}, 1, 0, 1.0)]
    Path("prompts.jsonl").write_text(json_lines(rows))
    Path("report.html").write_text("the report before")
    with at_most(1000):
        error = ends(["report", "."], capsys)[-1]
    assert error.startswith("error: 'report.html' cannot be written (File too large)")
    assert Path("report.html").read_text() == "the report before"
    assert {path.name for path in Path().iterdir()} == {"prompts.jsonl", "report.html"}


@pytest.mark.parametrize(("error", "shown"), [(OSError(28, "full"), False), (KeyError("a"), True)])
def test_what_the_thread_of_tensorboard_cannot_write_is_said_once(
    error, shown, capsys, monkeypatch
):
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    main(["--version"])
    with pytest.raises(SystemExit):
        main(["nothing"])

    def fail():
        raise error

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    assert ("Traceback" in capsys.readouterr().err) == shown


def test_an_interrupt_takes_nothing_back(tmp_path, monkeypatch):
    path = tmp_path / "lines"

    def interrupted(_):
        raise KeyboardInterrupt

    append_lines(path, "one\n")
    monkeypatch.setattr("os.fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        append_lines(path, "two\n")
    assert path.read_text() == "one\ntwo\n"
