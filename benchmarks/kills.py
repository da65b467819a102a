"""Runs that are killed at random moments and resumed, against an uninterrupted run.

``python -m benchmarks.kills`` writes ``benchmarks/results/kills.md``.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import describe, table, write
from fuse_lightning.cli.zoo import scenes
from fuse_lightning.results.result import read_results, read_targets, result_files

ROOT = Path(__file__).parents[1]
RUN = "logs/search/version_0"
LONGEST = 1.0
"""Seconds that a run goes on at most, behind its first checkpoint, before it is killed."""
EARLY = 0.2
"""Share of the kills at any moment from the start of a process, also while it loads models."""


def config() -> dict[str, Any]:
    """The quickstart with a small beam, and a checkpoint after every step."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "configs" / "quickstart.yaml").read_text())
    found["model"]["init_args"].update(steps=6, batch_size=8, gradient_samples=2)
    found["data"]["init_args"].update(images="scenes", batch_size=4)
    save = {"every_n_train_steps": 1, "save_top_k": 2, "monitor": "step", "mode": "max"}
    found["trainer"].update(
        accelerator="cpu",
        enable_progress_bar=False,
        callbacks=[
            {"class_path": "BeamSearch", "init_args": {"beam_width": 2}},
            {"class_path": "ModelCheckpoint", "init_args": save},
        ],
    )
    return found


def begin(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    """Starts a search in a process group of its own; what it prints goes to a file."""
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, ROOT / "cli.py", "fit", *words],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            start_new_session=True,
            stdout=log,
            stderr=log,
        )


def checkpoints(folder: Path) -> set[str]:
    """Names of the checkpoints there are."""
    return {path.name for path in (folder / RUN).glob("checkpoints/*.ckpt")}


def killed(folder: Path, rng: random.Random, words: list[str]) -> str | None:
    """Starts or resumes a run and kills it; when that was, or ``None`` if it ended before."""
    process = begin(folder, *words)
    before = checkpoints(folder)
    if rng.random() < EARLY:
        time.sleep(10 * LONGEST * rng.random())
    else:
        while checkpoints(folder) <= before and process.poll() is None:
            time.sleep(0.01)
        time.sleep(LONGEST * rng.random())
    if process.poll() is not None:
        return None
    moment = "searching" if checkpoints(folder) - before else "starting"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return moment


def known(folder: Path) -> dict[str, list[tuple[str, list[int], int]]]:
    """Prompt, ids and step of all results on disk, by target."""
    found = read_targets(result_files(folder / RUN))
    return {name: [(r.prompt, r.ids, r.step) for r in rows] for name, rows in found.items()}


def changes(rng: random.Random, steps: bool) -> list[str]:
    """What a run is given otherwise when it goes on."""
    found = [
        f"--trainer.devices={rng.choice((1, 2))}",
        f"--data.batch_size={rng.choice((1, 3, 9))}",
    ]
    return [*found, f"--model.init_args.steps={rng.choice((3, 6, 8))}"] if steps else found


def torture(folder: Path, steps: bool, kills: int, rng: random.Random) -> Counter[str]:
    """Kills a run up to so many times, lets it end, and counts what is not as it must be.

    Whenever it goes on, it does so with another batch size and number of devices, and with
    another number of steps where ``steps`` is set.
    """
    counts: Counter[str] = Counter(runs=1)
    kept: dict[str, Any] = {}
    for _ in range(kills):
        words = ["--config", "run.yaml"]
        if (folder / RUN / "config.yaml").is_file():
            words = ["--resume", RUN, *changes(rng, steps)]
        moment = killed(folder, rng, words)
        if moment is None:
            break
        counts[moment] += 1
        now = known(folder)
        counts["lost on the way"] += sum(now.get(name) != rows for name, rows in kept.items())
        kept = now
    again = (folder / RUN / "config.yaml").is_file()
    words = ["--resume", RUN, *changes(rng, steps)] if again else ["--config", "run.yaml"]
    if begin(folder, *words).wait():
        raise SystemExit((folder / "log.txt").read_text()[-3000:])
    return counts


def compare(folder: Path, reference: Path) -> Counter[str]:
    """How a run's final results differ from those of the reference."""
    expected, found = known(reference), known(folder)
    results = read_results(folder / RUN / "prompts.jsonl")
    rows = [result.target for result in results]
    return Counter(
        {
            "lost": len(expected.keys() - found.keys()),
            "doubled": len(rows) - len({*rows}),
            "unfinished": sum(not result.finished for result in results),
            "other prompts": sum(
                found[name] != row for name, row in expected.items() if name in found
            ),
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--targets", type=int, default=36)
    parser.add_argument("--in-one-run", type=int, default=8, help="kills of one run at most")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    totals: dict[bool, Counter[str]] = {False: Counter(), True: Counter()}
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        scenes(home / "scenes", options.targets, 5)

        def place(title: str) -> Path:
            folder = home / title
            folder.mkdir()
            (folder / "scenes").symlink_to(home / "scenes")
            (folder / "run.yaml").write_text(yaml.safe_dump(config()))
            return folder

        reference = place("reference")
        if begin(reference, "--config", "run.yaml").wait():
            raise SystemExit((reference / "log.txt").read_text()[-3000:])
        done = number = 0
        while done < options.kills:
            steps = number % 3 == 2
            folder = place(f"run-{number}")
            most = min(options.in_one_run, options.kills - done)
            counts = torture(folder, steps, most, rng) + compare(folder, reference)
            if steps:
                # Other steps may find other prompts.
                del counts["other prompts"]
            totals[steps] += counts
            done += counts["starting"] + counts["searching"]
            number += 1
            print(f"{done} kills, {dict(counts)}", flush=True)
    columns = ["runs", "starting", "searching", "lost on the way", "lost", "doubled"]
    columns += ["unfinished", "other prompts"]
    rows = [
        ["batch size, devices" + ", steps" * steps]
        + [str(counts[column]) for column in columns[:-1]]
        + ["—" if steps else str(counts[columns[-1]])]
        for steps, counts in totals.items()
    ]
    head = ["changed on going on", "runs", "kills while starting", "kills while searching"]
    head += columns[3:]
    write(
        "kills",
        f"# Runs that are killed at random moments\n\n{describe()}\n\n{options.targets} scenes, a "
        f"checkpoint after every step; SIGKILL to all processes of a run, up to "
        f"{options.in_one_run} times in one run, then `fuse fit --resume` to its end. Whenever a "
        "run goes on it has another batch size (1, 3 or 9; at first 4), 1 or 2 devices, and in the "
        "second row another number of steps (3, 6 or 8; at first 6). Counted against a run of one "
        "process that was never killed: targets whose results on disk went or changed between two "
        "kills, and in the end targets lost, targets written twice, results of searches that did "
        f"not end, and targets with another prompt.\n\n{table(head, rows)}\n",
    )


if __name__ == "__main__":
    main()
