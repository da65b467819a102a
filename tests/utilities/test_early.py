"""Processes of further devices that are begun before the first one is ready to start them."""

import json
import os
import subprocess
import sys

import pytest

from fuse_lightning.utilities import early

SAY = """
import os, sys
from fuse_lightning.utilities import early
early.wait_for_turn()
print(os.environ["LOCAL_RANK"], os.environ["MASTER_PORT"], early.WAITS in os.environ, flush=True)
"""


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Begins processes that say what they were given; ends what is left of them."""
    (tmp_path / "say.py").write_text(SAY)
    for name in early.STARTED:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(early, "_command", lambda: [sys.executable, str(tmp_path / "say.py")])
    popen = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *args, **kw: popen(*args, stdout=subprocess.PIPE, **kw)
    )
    yield lambda *words: early.begin(["fit", *words])
    early.drop()


def environments(count):
    return [
        {**os.environ, "LOCAL_RANK": str(rank), "MASTER_PORT": "7"} for rank in range(1, count + 1)
    ]


def test_processes_go_on_with_the_environment_of_their_device(begin):
    begin("--trainer.devices=3")
    taken = early.take(environments(2))
    assert [process.communicate(timeout=60)[0] for process in taken] == [
        "1 7 False\n",
        "2 7 False\n",
    ]
    assert early.take(environments(2)) == []


def test_processes_that_are_not_needed_end_and_do_nothing(begin):
    begin("--trainer.devices=2")
    (process,) = early._begun
    # One device more than was thought: Lightning starts all by itself.
    assert early.take(environments(2)) == []
    assert process.returncode is not None
    begin("--trainer.devices", "2")
    (process,) = early._begun
    process.stdin.close()
    assert (process.stdout.read(), process.wait(timeout=60)) == ("", 0)


@pytest.mark.parametrize("name", early.STARTED)
def test_where_something_else_starts_processes_none_is_begun(begin, monkeypatch, name):
    monkeypatch.setenv(name, "0")
    begin("--trainer.devices=2")
    assert not early._begun


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("trainer:\n  devices: 4\n", 4),
        (json.dumps({"trainer": {"devices": "2"}}), 2),
        ("trainer:\n  devices: auto\n", 1),
        ("trainer:\n  devices: [0, 1]\n", 1),
        ("trainer: 3\n", 1),
        ("- devices\n", 1),
        ("a: [\n", 1),
        ("\x00", 1),
        ("[" * 9000, 1),
    ],
)
def test_devices_are_read_in_the_configuration(tmp_path, text, count):
    path = tmp_path / "run.yaml"
    path.write_text(text)
    assert early.devices_of(["fit", "--config", str(path)]) == count
    assert early.devices_of(["fit", f"--config={path}", "--trainer.devices=5"]) == 5
    assert early.devices_of(["fit", "--config", str(tmp_path)]) == 1
