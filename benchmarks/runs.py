"""Whole runs over many pictures: several devices, what a run costs beside its search, memory.

``python -m benchmarks.runs`` writes ``benchmarks/results/runs.md``. Every process computes on one
thread.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import lightning as L
import yaml
from lightning.pytorch.callbacks import Callback

from benchmarks.machine import describe, table, write
from benchmarks.real_models import build
from fuse_lightning.cli.zoo import scenes

ROOT = Path(__file__).parents[1]
SEED = 90210
PAGE = os.sysconf("SC_PAGE_SIZE")


def queued() -> float:
    """Seconds in which this process could have run, but another one had the processor.

    0 where the system does not count them.
    """
    told = Path("/proc/self/schedstat")
    return int(told.read_text().split()[1]) / 1e9 if told.exists() else 0.0


class Meter(Callback):
    """Writes what a process has done: seconds in all, of which in the search, and its memory.

    Args:
        folder: Where to write ``meter-RANK.json``.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.search = 0.0
        self.memory: list[tuple[int, float]] = []

    def on_train_start(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Starts the clock, once models are loaded; times proposing and scoring from now on."""
        move = pl_module._move

        def timed(states: Any) -> Any:
            begin = time.perf_counter()
            count = move(states)
            self.search += time.perf_counter() - begin
            return count

        pl_module._move = timed
        self.begin = time.perf_counter()
        self.began = time.time()
        self.ready, self.cpu = queued(), time.process_time()

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, *args: Any) -> None:
        """Notes resident memory, MB, against targets done."""
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        self.memory.append((len(pl_module.results), pages * PAGE / 1e6))

    def on_train_end(self, trainer: L.Trainer, pl_module: Any) -> None:
        """Writes the file."""
        found = {
            "seconds": time.perf_counter() - self.begin,
            "search": self.search,
            "began": self.began,
            "ended": time.time(),
            "ready": queued() - self.ready,
            "cpu_before": self.cpu,
            "memory": self.memory,
        }
        path = Path(self.folder) / f"meter-{trainer.global_rank}.json"
        path.write_text(json.dumps(found))


def begin(
    folder: Path, pictures: Path | list[Path], devices: int, name: str, together: int, options: Any
) -> subprocess.Popen[bytes]:
    """Starts ``fuse fit`` with a configuration of the package; each process writes its meter."""
    config = yaml.safe_load((ROOT / "configs" / f"{name}.yaml").read_text())
    config["model"]["init_args"].update(options)
    images = str(pictures) if isinstance(pictures, Path) else [str(path) for path in pictures]
    config["data"]["init_args"] = {"images": images, "batch_size": together}
    meter = {"class_path": "benchmarks.runs.Meter", "init_args": {"folder": str(folder)}}
    config["trainer"]["callbacks"].append(meter)
    config["trainer"].update(accelerator="cpu", devices=devices, enable_progress_bar=False)
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump(config))
    return subprocess.Popen(
        [sys.executable, ROOT / "cli.py", "fit", "--config", path],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )


def meters(folder: Path) -> list[dict[str, Any]]:
    """What each process of a run has measured."""
    return [json.loads(file.read_text()) for file in sorted(folder.glob("meter-*.json"))]


def measure(
    pictures: Path, devices: int, name: str = "quickstart", together: int = 8, **options: Any
) -> list[dict[str, Any]]:
    """Runs ``fuse fit`` with a configuration of the package; what each process has measured."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        wait(begin(folder, pictures, devices, name, together, options))
        return meters(folder)


def wait(process: subprocess.Popen[bytes]) -> None:
    """Waits for a run, which must succeed."""
    if process.wait():
        raise SystemExit(f"a run has ended with exit code {process.returncode}")


@dataclass
class Whole:
    """Seconds of a whole run: before its first step, of its steps, and all.

    Attributes:
        alone: Seconds of the steps of the slowest process, without those in which a process of
            somebody else had the processor.
        cpu_before: Processor seconds before the first step, of the first process.
        prompts: What it found, by picture.
        beside: Share of the search that is neither proposing nor scoring.
    """

    before: float
    search: float
    all: float
    alone: float
    cpu_before: float
    prompts: dict[str, str]
    beside: float


def whole(shares: list[list[Path]], devices: int, together: int) -> Whole:
    """Runs commands at the same time, one for each share of the pictures."""
    with tempfile.TemporaryDirectory() as place:
        folders = [Path(place, str(number)) for number in range(len(shares))]
        for folder in folders:
            folder.mkdir()
        start = time.time()
        processes = [
            begin(folder, share, devices, "quickstart", together, {})
            for folder, share in zip(folders, shares, strict=True)
        ]
        for process in processes:
            wait(process)
        end = time.time()
        told = [meter for folder in folders for meter in meters(folder)]
        rows = [
            json.loads(line)
            for file in Path(place).rglob("prompts.jsonl")
            for line in file.read_text().splitlines()
        ]
    first = min(meter["began"] for meter in told)
    return Whole(
        first - start,
        max(meter["ended"] for meter in told) - first,
        end - start,
        max(meter["seconds"] - meter["ready"] for meter in told),
        told[0]["cpu_before"],
        {Path(row["target"]).name: row["prompt"] for row in rows},
        median(1 - meter["search"] / meter["seconds"] for meter in told),
    )


def several_devices(pictures: list[Path], repeats: int, together: int) -> str:
    """Targets a minute on one device, on two, and in two runs that know nothing of each other."""
    cases = {
        "1 process": ([pictures], 1),
        "2 processes": ([pictures], 2),
        "2 runs with half of the targets each": ([pictures[::2], pictures[1::2]], 1),
    }
    found: dict[str, list[Whole]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, (shares, devices) in cases.items():
            found[name].append(whole(shares, devices, together))
    one, count = found["1 process"], len(pictures)
    same = all(run.prompts == one[0].prompts for runs in found.values() for run in runs)

    def middle(runs: list[Whole], part: str) -> float:
        return median(getattr(run, part) for run in runs)

    def figures(runs: list[Whole]) -> list[str]:
        seconds = [middle(runs, part) for part in ("before", "search", "all", "alone")]
        start = middle(runs, "cpu_before")
        ratios = [middle(one, part) / middle(runs, part) for part in ("all", "alone")]
        both = (middle(one, "cpu_before") + middle(one, "alone")) / (start + seconds[3])
        return [
            *(f"{value:.1f}" for value in seconds[:3]),
            f"{60 * count / seconds[2]:.1f} ({ratios[0]:.2f})",
            f"{seconds[3]:.1f} ({ratios[1]:.2f})",
            f"{start:.1f} + {seconds[3]:.1f} ({both:.2f})",
        ]

    head = [
        "devices",
        "before the first step, s",
        "search, s",
        "whole command, s",
        "targets a minute of the command (ratio)",
        "search without other users of the processors, s (ratio)",
        "processor seconds of the start + that search (ratio)",
    ]
    rows = [[name, *figures(runs)] for name, runs in found.items()]
    runs = f"medians of {repeats} runs in turns" if repeats > 1 else "one run of each"
    return (
        f"{count} scenes, settings of `configs/quickstart.yaml`, {together} targets at once; one "
        f"thread a process, {runs}. Two runs that share nothing are the most that two processes "
        f"can reach on this machine. Prompts are {'the same' if same else 'NOT the same'} in all "
        "rows. Without other users of the processors means: without the seconds in which a process "
        "was ready and another one ran; a wait for the other process of the run counts, also where "
        f"that one was not let run.\n\n{table(head, rows)}\n\n"
        "Beside proposing and scoring a run on one device spends "
        f"{median(run.beside for run in one):.1%} of its search: the loop, logs, result files, "
        "checkpoints, reading pictures.\n"
    )


def real_sizes(folder: Path) -> str:
    """What a run costs beside its search where models are as large as real ones."""
    models, pictures = folder / "models", folder / "pictures"
    build(models, layers=12)
    scenes(pictures, 2, SEED)
    terms = [
        {"class_path": "Fluency", "init_args": {"model": str(models / "gpt2")}},
        {"class_path": "ImageSimilarity", "init_args": {"model": str(models / "clip")}},
    ]
    (meter,) = measure(pictures, 1, "caption_image", together=1, terms=terms, steps=6)
    share = 1 - meter["search"] / meter["seconds"]
    return (
        "A GPT-2 and the text tower of a CLIP of real sizes (12 layers of width 768 and 512) with "
        "random weights, settings of `configs/caption_image.yaml`, 2 pictures one after the other, "
        "6 steps each, a checkpoint after each: a step takes "
        f"{meter['search'] / len(meter['memory']):.1f} s, {share:.1%} of the run's time is spent "
        "beside.\n"
    )


def flat_memory(folder: Path, count: int) -> str:
    """Resident memory as targets come and go."""
    (meter,) = measure(folder, 1, steps=6, batch_size=8, gradient_samples=2)
    places = [count // 10, count // 4, count // 2, count]
    rows = [
        [str(place), f"{next(size for done, size in meter['memory'] if done >= place):.0f}"]
        for place in places
    ]
    return (
        f"{count} scenes, 6 steps each.\n\n{table(['targets done', 'resident memory, MB'], rows)}\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--targets", type=int, default=48, help="for the speed of devices")
    parser.add_argument("--together", type=int, default=8, help="of them in a batch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--many", type=int, default=500, help="targets for the memory")
    parser.add_argument(
        "--only", choices=["devices", "sizes", "memory"], help="one part, which is only printed"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        few, many = Path(name, "few"), Path(name, "many")
        scenes(few, options.targets, SEED)
        scenes(many, options.many, SEED)
        pictures = sorted(few.glob("*.png"))
        parts = {
            "devices": lambda: several_devices(pictures, options.repeats, options.together),
            "sizes": lambda: real_sizes(Path(name)),
            "memory": lambda: flat_memory(many, options.many),
        }
        if options.only:
            print(describe(), parts[options.only](), sep="\n\n")
            return
        sections = [part() for part in parts.values()]
    write("runs", "\n".join(["# Whole runs over many pictures\n", describe() + "\n", *sections]))


if __name__ == "__main__":
    main()
