"""``fuse diff`` as a process of its own, which signals end and ``--resume`` goes on with."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from fuse_lightning.cli.main import main

WORDS = [
    *("diff", "zoo/gpt2", "zoo/gpt2", "--b.prefix", "two ", "--samples", "1", "--limit", "16"),
    *("--max_new_tokens", "4", "--batch_size", "24", "--search", "2"),
]
WAITING = """
import sys, time
from fuse_lightning.cli.main import main
from fuse_lightning.decoding.run import DecodingRun
from fuse_lightning.diffing.divergent_prompts import _Steps

def waiting(act, parts):
    done = []
    def wrapped(*args, **options):
        act(*args, **options)
        done.append(1)
        if len(done) == parts:
            print("ready", flush=True)
            time.sleep(200)
    return wrapped

DecodingRun.add = waiting(DecodingRun.add, 40)
_Steps.on_train_batch_end = waiting(_Steps.on_train_batch_end, 2)
main(sys.argv[1:])
"""


def killed(kind, *words):
    """Sends a signal to a command once it is ready; gives its exit code and its last lines."""
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout.readline() == "ready\n"
    process.send_signal(kind)
    _, err = process.communicate(timeout=60)
    return process.returncode, err.splitlines()[-2:]


@pytest.mark.slow
def test_a_process_is_killed_among_texts_and_in_the_search(monkeypatch):
    monkeypatch.setattr("sys.argv", ["fuse"])
    code, err = killed(signal.SIGTERM, *WORDS, "--out", "run")
    assert code == 143
    assert err[0] == "40 texts are in run; go on with: fuse diff --resume run"
    assert "SIGTERM" in err[1]
    # The other 24 texts are too few for it to wait there again.
    code, err = killed(signal.SIGINT, "diff", "--resume", "run")
    assert (code, err[0].partition(" ")[0]) == (130, "64")
    assert [*Path("run/checkpoints").iterdir()]
    main(["diff", "--resume", "run"])
    main([*WORDS, "--out", "whole"])
    for name in ("findings.json", "texts.jsonl"):
        assert Path("run", name).read_bytes() == Path("whole", name).read_bytes()
