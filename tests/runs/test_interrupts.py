"""Ctrl-C and SIGTERM end every command with the code that shells know, and with a line."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest

from fuse_lightning.cli.zoo import scenes
from fuse_lightning.utilities.interrupts import heard, interruption

BUSY = "print('ready', flush=True); time.sleep(60)"
# A lock that is taken twice: a call that signals do not end, as of a network.
STUCK = (
    "import ctypes; lock = ctypes.create_string_buffer(64); take = ctypes.CDLL(None)"
    ".pthread_mutex_lock; take(lock); print('ready', flush=True); take(lock)"
)
BROKEN = """
try:
    print("ready", flush=True); time.sleep(60)
except KeyboardInterrupt as error:
    raise ImportError("initialization failed") from error
"""
DEAF = """
try:
    print("ready", flush=True); time.sleep(60)
finally:
    os.kill(os.getpid(), signal.SIGTERM)
    print("tidied up", file=sys.stderr)
"""


def program(work):
    return (
        "import os, signal, sys, time\nfrom fuse_lightning.utilities import interrupts\n"
        f"interrupts.PATIENCE = 0.5\nwith interrupts.heard():\n    exec({work!r})"
    )


def start(work, **variables):
    return popen([sys.executable, "-c", program(work)], **variables)


def popen(words, **variables):
    return subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        # A shell makes what it starts in the background deaf to interrupts.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


KINDS = [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")]


@pytest.mark.parametrize(("kind", "code", "name"), KINDS)
@pytest.mark.parametrize("work", [BUSY, STUCK])
def test_a_process_ends_with_a_line_also_where_it_waits_and_hears_nothing(work, kind, code, name):
    process = start(work)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(kind)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (code, f"ended by {name} before its work was done\n")


def test_an_import_that_is_interrupted_may_raise_anything():
    process = start(BROKEN)
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "ended by Ctrl-C before its work was done\n")


def test_a_second_request_does_not_disturb_what_is_tidied_up():
    process = start(DEAF)
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert err.splitlines() == ["tidied up", "ended by SIGTERM before its work was done"]


def test_a_launched_process_leaves_ctrl_c_to_the_first_and_ends_in_silence():
    process = start(BUSY, NODE_RANK="0", LOCAL_RANK="1")
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[1] == ""
    # Lightning's launcher would kill the first process for any other code.
    assert process.returncode == 0


def test_a_launched_process_ends_with_the_one_that_has_started_it():
    code = (
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-c', {program(BUSY)!r}], "
        "env={**os.environ, 'NODE_RANK': '0', 'LOCAL_RANK': '1'})\n"
        "sys.stdin.readline()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.kill()
    # The pipe is closed once the child has ended too.
    assert process.stdout.read() == ""
    process.communicate(timeout=60)


def test_ctrl_c_waits_until_tensorboard_has_handed_over_what_it_writes():
    # A shell makes what it starts in the background deaf to interrupts.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    done = []
    work = (
        "def hand_over():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    time.sleep(0.1)\n"
        "    done.append('handed over')"
    )
    inside = {**globals(), "done": done, "__name__": "tensorboard.summary.writer"}
    exec(work, inside)

    def work_on():
        inside["hand_over"]()
        time.sleep(60)
        done.append("not interrupted")

    with pytest.raises(SystemExit, match="130"), heard():
        work_on()
    signal.signal(signal.SIGINT, before)
    assert done == ["handed over"]


def test_what_a_forked_process_hears_does_not_end_the_command():
    process = start(
        "import multiprocessing\n"
        # As a trainer does while it works.
        "signal.signal(signal.SIGTERM, lambda *_: None)\n"
        "child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(60,))\n"
        "child.start(); child.terminate(); child.join(); time.sleep(1.5); print(child.exitcode)"
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, f"{-signal.SIGTERM}\n", "")


def test_handlers_are_as_before_and_other_endings_stay():
    before = [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
    for end in (SystemExit(2), ValueError("a bug")):
        with pytest.raises(type(end)) as raised, heard():
            raise end
        assert raised.value is end
    assert before == [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]


def test_lightning_turns_an_interrupt_into_an_exit_code():
    def ends():
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)

    with pytest.raises(SystemExit) as end:
        ends()
    assert interruption(end.value) is signal.SIGINT
    assert interruption(SystemExit(1)) is None


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "code", "name"), KINDS)
def test_prompts_that_were_found_are_printed_before_a_command_is_interrupted(
    kind, code, name, tmp_path
):
    scenes(tmp_path / "many", 64, 3)
    words = ["invert", str(tmp_path / "many"), "--preset", "clip", "--steps", "2", "--top", "1"]
    process = popen([sys.executable, "-m", "fuse_lightning", *words, "--json"])
    lines = [process.stdout.readline() for _ in range(5)]
    process.send_signal(kind)
    rest, err = process.communicate(timeout=120)
    lines += rest.splitlines()
    targets = [json.loads(line)["target"] for line in lines]
    assert targets == [f"scene-{number:02}" for number in range(len(targets))]
    assert 5 <= len(targets) < 64
    assert process.returncode == code
    assert err.splitlines()[-1] == f"ended by {name} before its work was done"
    assert "Traceback" not in err
