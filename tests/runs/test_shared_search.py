"""One task over several devices: its examples are shared out, and the prompts are the same."""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from fuse_lightning.results.result import read_results
from tests.near import DOUBLE, near
from tests.runs.shared_search import run

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SEARCHES = [
    *(("random", "history"), ("gcg", "beam"), ("pez", "greedy"), ("autodan", "beam")),
    ("greater", "greedy"),
]


def process(folder, name, frontier, devices, last=-1, checkpoint="-", rounding="", **options):
    words = [*map(str, (folder, name, frontier, devices, last, checkpoint)), json.dumps(options)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "FUSE_TEST_ROUNDING": rounding}
    return subprocess.run(
        [sys.executable, "-m", "tests.runs.shared_search", *words],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=250,
    )


def told(rows):
    """What is told of each prompt, whatever it is searched on."""
    keys = ("target", "prompt", "ids", "step", "rank", "evaluations", "finished")
    return [{key: row.to_dict()[key] for key in keys} for row in rows]


def losses(rows):
    return [value for row in rows for value in (row.loss, *row.losses.values())]


def check(folder, expected):
    rows = read_results(folder / "prompts.jsonl")
    assert told(rows) == told(expected)
    assert losses(rows) == near(losses(expected), size=1, share=DOUBLE)
    assert not [*folder.glob("prompts-rank*")]


def ranks(folder, count):
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(count)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What each search finds on one device, and what it reads."""
    made = {}

    def get(*kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp("alone")
            made[kind] = run(folder, *kind).results, ranks(folder, 1)[0]
        return made[kind]

    return get


@pytest.mark.parametrize(("name", "frontier"), SEARCHES)
@pytest.mark.parametrize("devices", [2, 3])
def test_several_devices_find_what_one_does(alone, name, frontier, devices, tmp_path):
    expected, whole = alone(name, frontier)
    done = process(tmp_path, name, frontier, devices)
    assert done.returncode == 0, done.stderr
    check(tmp_path, expected)
    shares = ranks(tmp_path, devices)
    assert all(share["kept"] == shares[0]["kept"] == whole["kept"] for share in shares)
    # Each cell is read by one of them.
    read = [Counter(map(tuple, share["read"])) for share in shares]
    assert sum(read, Counter()) == Counter(map(tuple, whole["read"]))
    sizes = [sum(each.values()) for each in read]
    # No chain is written twice, neither in one process nor in two.
    chains = Counter(tuple(row) for share in shares for row in share["chains"])
    assert chains == Counter(map(tuple, whole["chains"]))
    assert max(chains.values(), default=1) == 1
    if name == "greater":
        # Shares of so few questions differ by more.
        return
    assert max(sizes) < 1.3 * sum(sizes) / devices
    rows = [share["differentiated"] for share in shares]
    assert sum(rows) == whole["differentiated"]
    assert max(rows) <= 1.3 * sum(rows) / devices


@pytest.mark.parametrize(("name", "frontier"), SEARCHES)
def test_devices_that_round_in_other_ways_stay_together(name, frontier, tmp_path):
    done = process(
        tmp_path, name, frontier, 2, rounding="yes", **({"merge": 3} if name == "gcg" else {})
    )
    assert done.returncode == 0, done.stderr
    first, second = ranks(tmp_path, 2)
    assert first["kept"] == second["kept"]
    assert first["steps"] == second["steps"]


@pytest.mark.parametrize(("before", "after"), [(2, 1), (2, 3), (1, 2)])
@pytest.mark.parametrize(("name", "frontier"), SEARCHES[:3:2])
def test_a_killed_run_goes_on_with_other_devices(alone, name, frontier, before, after, tmp_path):
    expected, _ = alone(name, frontier)
    done = process(tmp_path, name, frontier, before, 7)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (checkpoint,) = (tmp_path / "checkpoints").glob("*step=7.ckpt")
    done = process(tmp_path, name, frontier, after, checkpoint=checkpoint)
    assert done.returncode == 0, done.stderr
    check(tmp_path, expected)


def test_a_budget_of_time_ends_a_target_on_all_devices_at_once(tmp_path):
    """The first device alone checks the search before it begins, which the others wait for."""
    done = process(tmp_path, "random", "history", 2, check=True, steps=1000, max_seconds=2.0)
    assert done.returncode == 0, done.stderr
    first, second = ranks(tmp_path, 2)
    assert first["kept"] == second["kept"]
    assert first["steps"] == second["steps"] < 3000
