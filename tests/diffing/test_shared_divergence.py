"""A search for divergent prompts over several devices: they share its prompts out."""

import csv
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from fuse_lightning.results.result import read_results
from tests.diffing.shared_divergence import run
from tests.near import DOUBLE, near

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FIGURES = ("divergence", "error", "grade", "diversity")


def process(place, model, devices, last=-1, checkpoint="-"):
    words = map(str, (place, model, devices, last, checkpoint))
    return subprocess.run(
        [sys.executable, "-m", "tests.diffing.shared_divergence", *words],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=250,
    )


def bank(place):
    """Rows of a bank without their figures, and all figures."""
    with (place / "bank.tsv").open(newline="") as file:
        rows = [*csv.DictReader(file, delimiter="\t")]
    told = [{name: row[name] for name in row if name not in FIGURES} for row in rows]
    return told, [float(row[name]) for row in rows for name in FIGURES]


def prompts(place):
    """What is told of the prompts that were found, and all their losses."""
    rows = read_results(place / "prompts.jsonl")
    keys = ("target", "prompt", "step", "rank", "evaluations", "finished")
    told = [{key: row.to_dict()[key] for key in keys} for row in rows]
    return told, [value for row in rows for value in (row.loss, *row.losses.values())]


def check(place, expected):
    """A run's files are those of another."""
    for read in (bank, prompts):
        (told, figures), (wanted, values) = read(place), read(expected)
        assert told == wanted
        assert figures == near(values, size=1, share=DOUBLE)
    names, wanted = ({path.name for path in each.glob("[!r]*.*")} for each in (place, expected))
    assert names == wanted


def ranks(place, count):
    return [json.loads((place / f"rank-{rank}.json").read_text()) for rank in range(count)]


@pytest.fixture
def model(folder):
    return folder("gpt2")


@pytest.fixture
def alone(model, tmp_path):
    """Folder of a run on one device."""
    place = tmp_path / "alone"
    place.mkdir()
    run(place, model)
    return place


def test_several_devices_share_the_prompts_and_find_what_one_does(alone, model, tmp_path):
    place = tmp_path / "shared"
    place.mkdir()
    done = process(place, model, 2)
    assert done.returncode == 0, done.stderr
    check(place, alone)
    (whole,), shares = ranks(alone, 1), ranks(place, 2)
    assert shares[0]["kept"] == shares[1]["kept"]
    # Each prompt is scored by one of them, for the selection and once more at the end.
    scored = [Counter(map(tuple, share["scored"])) for share in shares]
    assert sum(scored, Counter()) == Counter(map(tuple, whole["scored"]))
    sizes = [each.total() for each in scored]
    assert max(sizes) < 1.3 * sum(sizes) / 2
    # What may ask a model behind an address is asked once.
    for name in ("asked", "graded"):
        assert whole[name] > 0
        assert [share[name] for share in shares] == [whole[name], 0]


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_a_killed_search_goes_on_with_other_devices(alone, model, before, after, tmp_path):
    place = tmp_path / "run"
    place.mkdir()
    done = process(place, model, before, 2)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (checkpoint,) = (place / "checkpoints").glob("*step=2.ckpt")
    done = process(place, model, after, checkpoint=checkpoint)
    assert done.returncode == 0, done.stderr
    check(place, alone)
