"""Whole runs as processes: several devices, kills at any moment, and going on."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml

from fuse_lightning.cli.main import main
from fuse_lightning.cli.resume import expand, last_checkpoint
from fuse_lightning.cli.zoo import scenes
from fuse_lightning.errors import FuseError
from fuse_lightning.report.run import read_run
from fuse_lightning.results.result import read_targets, result_files
from tests.factories.configs import SCENES_RUN

pytestmark = pytest.mark.slow

TARGETS = 7
RUN = "logs/search/version_0"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with scenes, a configuration, and the adapter that all runs share."""
    folder = tmp_path_factory.mktemp("runs")
    scenes(folder / "scenes", TARGETS, 5)
    (folder / "run.yaml").write_text(yaml.safe_dump(SCENES_RUN))
    return folder


def prepare(runs, folder):
    """A folder of its own for a run."""
    folder.mkdir(exist_ok=True)
    for name in ("scenes", "run.yaml"):
        if not (folder / name).exists():
            (folder / name).symlink_to(runs / name)


def start(runs, folder, *words, **variables):
    """Begins a run in a folder of its own, in a process group of its own."""
    prepare(runs, folder)
    environment = {
        **os.environ,
        "FUSE_LIGHTNING_CACHE": str(runs / "cache"),
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        **variables,
    }
    return subprocess.Popen(
        [Path(sys.executable).with_name("fuse"), "fit", *words],
        cwd=folder,
        env=environment,
        start_new_session=True,
        # A shell makes what it starts in the background deaf to interrupts.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def here(runs, folder, *words):
    """Does a run in this process, which has imported all that it needs."""
    prepare(runs, folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("FUSE_LIGHTNING_CACHE", str(runs / "cache"))
        patch.setattr("sys.argv", ["fuse"])
        main(["fit", *words])


def wait_for(moment, *processes):
    """Waits until it has come, or one of the processes has ended."""
    until = time.monotonic() + 200
    while not moment() and all(process.poll() is None for process in processes):
        assert time.monotonic() < until
        time.sleep(0.02)


def finish(process):
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    return output


def found(folder, name="prompts.jsonl"):
    lines = (folder / RUN / name).read_text().splitlines()
    keys = ("target", "prompt", "ids", "step")
    return [{key: json.loads(line)[key] for key in keys} for line in lines]


@pytest.fixture(scope="module")
def reference(runs):
    """What an uninterrupted run on one device finds."""
    folder = runs / "reference"
    here(runs, folder, "--config", "run.yaml")
    rows = found(folder)
    assert [row["target"] for row in rows] == [f"scene-{i}" for i in range(TARGETS)]
    return rows


@pytest.mark.timeout(600)
@pytest.mark.parametrize("devices", [1, 2])
def test_a_run_that_is_killed_again_and_again_ends_as_if_it_never_was(runs, reference, devices):
    folder = runs / f"killed-{devices}"
    rng = random.Random(devices)
    words = ["--config", "run.yaml", f"--trainer.devices={devices}"]
    kept = set()
    # Alone a run is killed twice; of two processes one is killed by itself.
    for _ in range(3 - devices):
        process = start(runs, folder, *words)
        known = furthest(folder)
        wait_for(lambda known=known: furthest(folder) > known, process)
        # Some moment later: while it computes, or writes results or a checkpoint.
        time.sleep(rng.random())
        if devices > 1:
            os.kill(worker(process.pid), signal.SIGKILL)
        else:
            os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate(timeout=100)
        if devices > 1:
            assert "error: another process of this run has ended" in output
            assert "Traceback" not in output
        # What a checkpoint does not know yet is not lost either.
        before, kept = kept, {*read_targets(result_files(folder / RUN))}
        assert before <= kept
        words = ["--resume", RUN]
    # It goes on with another number of devices and another batch size.
    assert last_checkpoint(folder / RUN)
    if devices == 2:
        here(runs, folder, *words, "--trainer.devices=1", "--data.batch_size=3")
    else:
        changed = ("--trainer.devices=2", "--data.batch_size=1")
        assert "Restored all states" in finish(start(runs, folder, *words, *changed))
    assert found(folder) == reference
    assert sorted(read_run(folder / RUN).pictures) == [row["target"] for row in reference]
    assert not list((folder / RUN).glob("prompts-rank*"))


def furthest(folder):
    """The last step of which there is a checkpoint."""
    paths = (folder / RUN).glob("checkpoints/*.ckpt")
    return max((int(path.stem.rsplit("step=")[1].split("-")[0]) for path in paths), default=0)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("kind", "devices"),
    [(signal.SIGINT, 1), (signal.SIGINT, 2), (signal.SIGTERM, 1), (signal.SIGTERM, 2)],
)
def test_a_run_that_is_asked_to_end_says_how_it_goes_on(runs, reference, kind, devices):
    folder = runs / f"{kind.name}-{devices}"
    process = start(runs, folder, "--config", "run.yaml", f"--trainer.devices={devices}")
    wait_for(lambda: furthest(folder), process)
    # As a terminal or a cluster asks: all processes at once.
    os.killpg(process.pid, kind)
    output, _ = process.communicate(timeout=100)
    # As shells know them.
    assert process.returncode == 128 + kind, output
    assert output.count("before its work was done") == 1
    assert f"go on with: fuse fit --resume {RUN}\n" in output
    assert "Traceback" not in output
    assert last_checkpoint(folder / RUN)
    if devices == 1:
        here(runs, folder, "--resume", RUN)
        assert found(folder) == reference


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def nodes(runs, folder, *words):
    """Begins a run on two nodes of one device each, as torchrun starts them."""
    words += ("--trainer.num_nodes=2", "--trainer.devices=1")
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2"}
    shared |= {"LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "TORCHELASTIC_RUN_ID": "run"}
    return [
        start(runs, folder, *words, **shared, RANK=str(rank), GROUP_RANK=str(rank))
        for rank in range(2)
    ]


@pytest.mark.timeout(400)
def test_two_nodes_share_the_targets_and_go_on_after_the_second_was_asked_to_end(runs, reference):
    folder = runs / "nodes"
    # One of them has a batch less than the other.
    processes = nodes(runs, folder, "--config", "run.yaml", "--data.limit=5")
    wait_for(lambda: furthest(folder), *processes)
    processes[1].send_signal(signal.SIGTERM)
    outputs = "".join(process.communicate(timeout=200)[0] for process in processes)
    assert [process.returncode for process in processes] == [143, 143]
    assert f"go on, by what started this run, with: fuse fit --resume {RUN}\n" in outputs
    assert "another process" not in outputs
    outputs = "".join(finish(process) for process in nodes(runs, folder, "--resume", RUN))
    assert "Restored all states" in outputs
    assert found(folder) == reference[:5]
    assert not list((folder / RUN).glob("prompts-rank*"))


def worker(launcher):
    """What a launcher has started."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rsplit(")")[1].split()[1])
    return next(child for child, parent in parents.items() if parent == launcher)


@pytest.mark.timeout(400)
def test_where_one_process_fails_the_others_say_so_in_one_line(runs):
    folder = runs / "failing"
    folder.mkdir()
    scenes(folder / "scenes", 2, 5)
    broken = folder / "scenes" / "scene-1.png"
    broken.write_bytes(broken.read_bytes()[:-200])
    output, _ = start(
        runs, folder, "--config", "run.yaml", "--trainer.devices=2", "--data.batch_size=1"
    ).communicate(timeout=200)
    assert "scene-1.png' is broken" in output
    assert "Traceback" not in output


def checkpoint(step):
    """What every search writes."""
    state = {"identity": {"seed": "0"}, "searches": {}, "results": []}
    return {
        "global_step": step,
        "pytorch-lightning_version": "2.6.6",
        "run": "somewhere",
        "loops": {},
        "callbacks": {},
        "state_dict": {"_extra_state": state},
    }


def test_the_checkpoint_that_got_furthest_is_found_and_broken_ones_are_not(tmp_path):
    folder = tmp_path / "logs" / "search" / "version_0"
    (folder / "checkpoints").mkdir(parents=True)
    assert last_checkpoint(folder) is None
    for name, step in (("a", 3), ("b", 12), ("c", 5)):
        torch.save(checkpoint(step), folder / "checkpoints" / f"{name}.ckpt")
    torch.save({"global_step": 99}, folder / "checkpoints" / "other.ckpt")
    whole = (folder / "checkpoints" / "b.ckpt").read_bytes()
    (folder / "checkpoints" / "d.ckpt").write_bytes(whole[: len(whole) // 2])
    assert last_checkpoint(folder) == folder / "checkpoints" / "b.ckpt"
    (folder / "config.yaml").write_text("")
    words = expand(["fit", "--resume", str(folder), "--trainer.devices=2"])
    assert words[:2] == ["fit", "--config"]
    assert words[-1] == "--trainer.devices=2"
    assert f"--ckpt_path={folder / 'checkpoints' / 'b.ckpt'}" in words
    assert expand(["fit", f"--resume={folder}", "--trainer.devices=2"]) == words


def test_words_without_the_flag_stay(tmp_path):
    assert expand(["fit", "--config", "x"]) == ["fit", "--config", "x"]


@pytest.mark.parametrize("words", [["fit", "--resume"], ["fit", "--resume", "nowhere"]])
def test_a_folder_that_is_no_run_is_refused(words):
    with pytest.raises(FuseError, match=r"holds no config\.yaml; give"):
        expand(words)


def test_only_a_search_goes_on(tmp_path):
    with pytest.raises(FuseError, match="use it with fuse fit"):
        expand(["validate", "--resume", str(tmp_path)])
